"""Which options of training and evaluation contradict each other."""

from __future__ import annotations

import argparse

from models import SOUND_NETS
from utils.errors import InputError


def check_options(options: argparse.Namespace) -> None:
    """Refuses options that contradict each other.

    Raises:
        InputError: with the options' names and what to do.
    """
    if options.binary_mask and options.loss != "bce":
        raise InputError(f"--binary_mask 1 is trained with --loss bce, not {options.loss}")
    if not options.binary_mask and options.loss == "bce":
        raise InputError("--loss bce needs --binary_mask 1; ratio masks are trained with --loss l1 or l2")
    if options.loss == "bce" and options.output_activation not in ("sigmoid", "softmax"):
        raise InputError(f"--loss bce needs masks in 0..1: not --output_activation {options.output_activation}")
    if options.weight_scale != 1 and not options.weighted_loss:
        raise InputError(f"--weight_scale {options.weight_scale} is for --weighted_loss 1; leave it at 1 without")
    if options.arch_vision == "label" and options.num_frames > 1:
        raise InputError("--arch_vision label looks at no frames: leave --num_frames at 1")
    if options.instruments and options.arch_vision != "label":
        names = " ".join(options.instruments)
        raise InputError(f"--instruments {names}: they are for --arch_vision label; clouds need no names")
    if options.compile and options.grad_checkpoint:
        raise InputError("--compile 1 and --grad_checkpoint 1 do not go together: what is recomputed is not compiled")
    if options.amp == "fp16" and options.device == "mps":
        raise InputError("--amp fp16 is for cuda and cpu; on mps use --amp bf16 or no")
    if options.mode == "train" and options.batch_size_per_gpu < 2:
        raise InputError("--batch_size_per_gpu 1: batch normalisation needs the clouds of two mixtures to train")
    if options.stft_frame // 2 >= options.audLen:
        raise InputError(f"--stft_frame {options.stft_frame} is too long for --audLen {options.audLen}")
    if options.stft_hop > options.stft_frame // 2:
        raise InputError(f"--stft_hop {options.stft_hop} is more than half of --stft_frame {options.stft_frame}")
    multiple = 2 ** SOUND_NETS[options.arch_sound]
    frames = options.audLen // options.stft_hop + 1
    if frames % multiple:
        fitting = max(multiple, round(frames / multiple) * multiple) * options.stft_hop - 1
        raise InputError(
            f"--audLen {options.audLen} makes {frames} spectrogram frames, {options.arch_sound} needs a multiple of "
            f"{multiple}: try --audLen {fitting}"
        )
    bins = options.log_bins if options.log_freq else options.stft_frame // 2 + 1
    if options.log_freq and bins % multiple:
        raise InputError(f"--log_bins {bins}: {options.arch_sound} needs a multiple of {multiple}")
    if bins % multiple:
        raise InputError(
            f"--stft_frame {options.stft_frame} makes {bins} frequency bins, {options.arch_sound} needs a multiple "
            f"of {multiple}: use --log_freq 1 or another window"
        )
    if options.init and (options.weights_sound or options.weights_vision or options.weights_synthesizer):
        raise InputError("--init has weights for all nets: leave --weights_sound, ... out")
    for net in options.freeze:
        if not (options.init or getattr(options, f"weights_{net}")):
            told = f"give it weights by --init or --weights_{net}"
            raise InputError(f"--freeze {net}: random weights would stay; {told}")
    if options.resume and options.overwrite:
        raise InputError("--resume 1 resumes a run, --overwrite 1 starts it over: choose one")
    if options.mode == "eval" and options.arch_vision == "label" and not options.instruments:
        raise InputError("--arch_vision label: without config.json --instruments must name them as in training")
    if options.mode == "eval" and not options.id:
        raise InputError("--mode eval needs --id, the folder of the run below --ckpt")
