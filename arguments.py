"""Every option of training and evaluation: its default, unit and check."""

from __future__ import annotations

import argparse
import glob
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from models import CHANNELS_LAST, CRITERIA, FUSIONS, SOUND_NETS, VISION_NETS
from models.backend import BACKENDS
from models.mask_rules import MASK_RULES
from models.separation_net import ACTIVATIONS, AMP, FRAME_POOLS
from option_rules import check_options
from utils.errors import InputError
from utils.files import is_there, read_json
from utils.metrics import BSS_EVAL
from utils.options import ArgumentParser, checked_values, real, switch, whole
from utils.precision import TF32
from utils.progress import say
from utils.spectrogram import LOG_BINS

# What a trained model cannot do without: a run's config.json holds these and evaluation takes them from there.
MODEL_OPTIONS = [
    *("arch_sound", "arch_vision", "arch_synthesizer", "num_channels", "ngf", "instruments"),
    *("num_frames", "stride_frames", "frame_pool"),
    *("vision_activation", "sound_activation", "output_activation", "binary_mask", "log_freq", "log_bins"),
    *("loss", "weighted_loss", "weight_scale"),
    *("audRate", "stft_frame", "stft_hop", "voxel_size", "rgbs_feature"),
]

# What separates a recording as the run was trained: the model's options and those that go with them.
SEPARATION_OPTIONS = [*MODEL_OPTIONS, "audLen", "mask_thres", "num_mix"]


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options from the command line, checked; to evaluate a run, those of its model come from its `config.json`.

    Raises:
        InputError: an unknown option, a value out of range, or options that contradict each other.
    """
    options = build_parser().parse_args(arguments)
    if options.mode == "eval" and options.id:
        named = Path(options.ckpt) / options.id
        if (found := run_called(named)) != named:
            options.id = str(Path(options.id).with_name(found.name))
        take_model_options(options)
    check_options(options)
    return options


def build_parser() -> argparse.ArgumentParser:
    """The parser with every option; choices and ranges are checked by it, contradictions by `check_options`."""
    parser = ArgumentParser(
        prog="main.py",
        description="Music source separation conditioned on 3D point clouds: training and evaluation.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_model_options(parser.add_argument_group("model"))
    _add_data_options(parser.add_argument_group("data"))
    _add_run_options(parser.add_argument_group("run"))
    _add_training_options(parser.add_argument_group("training"))
    _add_cost_options(parser.add_argument_group("cost of training"))
    return parser


def _add_model_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--id",
        default="",
        help="the beginning of the run's name; to evaluate, as much of an existing run's name as is unique",
    )
    add("--num_mix", type=whole(2, 1000), default=2, help="N, sources in a mixture")
    add("--arch_sound", default="unet7", choices=list(SOUND_NETS), help="sound net")
    add(
        "--arch_vision",
        default="sparseresnet18",
        choices=list(VISION_NETS),
        help="vision net; label: the instrument's name instead of a cloud, the paper's reference case",
    )
    add(
        "--instruments",
        nargs="*",
        default=[],
        help="instruments that a label net knows; none: those of the training list",
    )
    add("--arch_synthesizer", default="linear", choices=list(FUSIONS), help="fusion module")
    add("--weights_sound", default="", help="state dict to start the sound net from")
    add("--weights_vision", default="", help="state dict to start the vision net from")
    add("--weights_synthesizer", default="", help="state dict to start the fusion module from")
    add("--init", default="", help="run or exported model to start all nets from: what fits is taken")
    add(
        "--freeze",
        nargs="*",
        default=[],
        choices=["sound", "vision"],
        help="nets that training leaves as they are, batch norm's statistics included",
    )
    add("--num_channels", type=whole(1, 4096), default=32, help="C, channels of sound and vision features")
    add("--ngf", type=whole(1, 1024), default=64, help="channels of the outermost level of the U-Net")
    add("--num_frames", type=whole(1, 10_000), default=1, help="K, point-cloud frames of each source")
    add("--stride_frames", type=whole(1, 10**6), default=1, help="frames from one of the K to the next")
    add("--frame_pool", default="maxpool", choices=list(FRAME_POOLS), help="pooling over the K frames")
    add("--vision_activation", default="sigmoid", choices=list(ACTIVATIONS), help="on vision features")
    add("--sound_activation", default="no", choices=list(ACTIVATIONS), help="on sound features")
    add(
        "--output_activation",
        default="sigmoid",
        choices=list(ACTIVATIONS),
        help="on masks; softmax shares every point out among the sources",
    )
    add("--binary_mask", type=switch, default=1, help="1: binary masks, 0: ratio masks")
    add("--mask_thres", type=real(0, 1), default=0.5, help="a binary mask is 1 above this")
    add("--loss", default="bce", choices=list(CRITERIA), help="bce for binary masks, l1 or l2 for ratio masks")
    add("--weighted_loss", type=switch, default=0, help="weigh the loss by the mixture's log magnitude")
    add(
        "--weight_scale",
        type=real(0, 10**6, exclusive=True),
        default=1,
        help="factor of the magnitudes in these weights; 1022 / stft_frame weighs as the published window does",
    )
    add("--log_freq", type=switch, default=1, help="masks on a logarithmic frequency axis")
    add("--log_bins", type=whole(2, 2**14), default=LOG_BINS, help="bins of that axis; 512 suit rates of 44.1 kHz")


def _add_data_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--batch_size_per_gpu", type=whole(1, 10**6), default=32, help="B, mixtures in a batch on one device")
    add("--workers", type=whole(0, 10**6), default=32, help="processes that load data for each device; 0: none")
    add("--cache", default="", help="folder that keeps recordings and clouds decoded, filled on first use; none: off")
    add("--num_val", type=whole(-1), default=-1, help="validation mixtures; -1: one for every row of the list")
    add(
        "--distinct",
        type=switch,
        default=1,
        help="1: no two sources of a mixture are the same instrument; 0: they may be, and are reported separately",
    )
    add("--audLen", type=whole(2, 2**27), default=65535, help="L, samples of a mixture")
    add("--audRate", type=whole(1, 384_000), default=11025, help="sampling rate in Hz")
    add("--stft_frame", type=whole(2, 2**20), default=1022, help="STFT window in samples")
    add("--stft_hop", type=whole(1, 2**20), default=256, help="STFT hop in samples")
    add("--voxel_size", type=real(0, 100, exclusive=True), default=0.02, help="edge of a voxel in metres")
    add(
        "--rgbs_feature",
        type=switch,
        default=0,
        help="1: colours as voxel features, 0: the points themselves",
    )
    add("--frameRate", type=real(0, exclusive=True), default=8, help="point-cloud frames a second")


def _add_run_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--mode", default="train", choices=["train", "eval"], help="train a new run, or evaluate one")
    add("--seed", type=whole(0, 2**32 - 1), default=1234, help="seed of initial weights, mixtures and augmentations")
    add(
        "--device",
        default="auto",
        choices=["auto", "cuda", "cpu", "mps"],
        help="auto: cuda, else mps, else cpu",
    )
    add(
        "--num_gpus",
        type=whole(1),
        default=1,
        help="GPUs of this machine to work on, each with a process and batches of its own; with --device cpu processes",
    )
    add(
        "--sparse_backend",
        default="auto",
        choices=list(BACKENDS),
        help="engine of the vision net; auto: on a GPU the fastest of those that are installed, else the built-in one",
    )
    add("--ckpt", default="./ckpt", help="folder that holds a folder for every run")
    add("--overwrite", type=switch, default=0, help="1: train into a folder that already holds a run")
    add("--resume", type=switch, default=0, help="1: resume the run where it stopped; begin it if there is none")
    add("--save_iter", type=whole(0), default=0, help="iterations from one last.pth to the next; 0: ends of epochs")
    add(
        "--skip_bad_samples",
        type=whole(0),
        default=0,
        help="unreadable files that are skipped and listed before a run stops",
    )
    add("--disp_iter", type=whole(1), default=20, help="iterations from one line of a log file to the next")
    add("--eval_epoch", type=whole(1), default=1, help="epochs from one evaluation to the next")
    add(
        "--bss_eval",
        default="fast",
        choices=list(BSS_EVAL),
        help="how SDR, SIR and SAR are computed; mir_eval: by mir_eval itself, slower, to the same numbers",
    )
    add(
        "--conditioning_report",
        type=switch,
        default=0,
        help="1: report in an evaluation how far it follows the clouds, and whether they are told apart",
    )
    add(
        "--masks",
        default="auto",
        choices=["auto", *MASK_RULES],
        help="what an evaluation multiplies the mixture by: masks cut at --mask_thres, as they are, or shares of the "
        "sources and a residual that add up to 1; auto: binary for --binary_mask 1, else soft, as published",
    )
    add("--num_vis", type=whole(0), default=40, help="mixtures whose pictures and sounds are written")
    add("--tensorboard", type=switch, default=1, help="1: curves, sounds, pictures and clouds for TensorBoard")


def _add_training_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--list_train", default="data/train.csv", help="index file of the training set")
    add("--list_val", default="data/val.csv", help="index file of the set to evaluate on")
    add("--eval_list", default="", help="metrics.csv of an evaluation: evaluate on exactly its mixtures")
    add("--dup_trainset", type=whole(1, 10**6), default=100, help="times the training list is repeated in an epoch")
    add("--num_epoch", type=whole(1, 10**6), default=100, help="epochs to train")
    add("--lr_vision", type=real(0), default=1e-4, help="learning rate of the vision trunk")
    add("--lr_sound", type=real(0), default=1e-3, help="learning rate of the U-Net and the last vision layer")
    add("--lr_synthesizer", type=real(0), default=1e-3, help="learning rate of the fusion module")
    add(
        "--lr_steps",
        type=whole(1),
        nargs="*",
        default=[],
        help="epochs after which all learning rates drop to a tenth; none: they stay",
    )
    add("--optimizer", default="sgd", choices=["sgd", "adam"], help="SGD with momentum, as published, or Adam")
    add("--beta1", type=real(0, 0.9999), default=0.9, help="momentum of SGD, beta1 of Adam")
    add("--weight_decay", type=real(0), default=1e-4, help="L2 regularisation")
    add("--augment", type=real(0, 10), default=1.0, help="strength of all point augmentations; 0: none")
    add(
        "--pretrained_vision",
        default="models/resnet18_pretrained.pth",
        help="classifier whose trunk the vision net starts from, if the file exists",
    )


def _add_cost_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--amp",
        default="no",
        choices=list(AMP),
        help="precision of the U-Net in training; everything else, and evaluation, is float32",
    )
    add(
        "--channels_last",
        default="auto",
        choices=list(CHANNELS_LAST),
        help="yes: the U-Net with channels innermost in memory; auto: on a CPU, and on a GPU with --amp or TF32",
    )
    add(
        "--tf32",
        default="auto",
        choices=list(TF32),
        help="TF32 on a GPU, three digits of single precision; auto: in training, and not in evaluation",
    )
    add(
        "--deterministic",
        type=switch,
        default=0,
        help="1: the same bits every time on one GPU model, at some cost in speed; on a CPU this is always so",
    )
    add("--compile", type=switch, default=0, help="1: the U-Net through torch.compile")
    add(
        "--grad_checkpoint",
        type=switch,
        default=0,
        help="1: less memory; the U-Net's forward is done again in backward",
    )
    add(
        "--accumulate",
        type=whole(1, 10**6),
        default=1,
        help="batches of each device that make one step of the optimiser",
    )
    add("--sync_bn", type=switch, default=0, help="1: batch norm over the batches of all devices, not of each")


def run_called(path: str | Path) -> Path:
    """The folder of this name, or the only one whose name begins with it; the path itself if there is none.

    Raises:
        InputError: several folders have names that begin with it.
    """
    path = Path(path)
    if os.path.lexists(path) or not path.name:
        return path
    found = sorted(other for other in path.parent.glob(f"{glob.escape(path.name)}*") if other.is_dir())
    if len(found) > 1:
        raise InputError(
            f"{path}: {len(found)} runs have names that begin with this: {', '.join(r.name for r in found)}"
        )
    return found[0] if found else path


def run_argument(text: str) -> Path:
    """A type for argparse: `run_called`, whose errors argparse would replace by one without their reason."""
    try:
        return run_called(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def take_model_options(options: argparse.Namespace) -> None:
    """Puts the model's options of the run's `config.json`, where there is one, in place of the command line's.

    Raises:
        InputError: the file is damaged.
    """
    config = Path(options.ckpt) / options.id / "config.json"
    if not is_there(config):
        return
    stored = stored_options(config, MODEL_OPTIONS)
    changed = {name: value for name, value in stored.items() if value != getattr(options, name)}
    vars(options).update(changed)
    if changed:
        say(f"as the run was trained: {' '.join(f'--{name} {value}' for name, value in changed.items())}")


def stored_options(config: Path, names: list[str]) -> dict:
    """Those of the named options that a run's `config.json` holds, checked; raises InputError if it is damaged."""
    content = read_json(config)
    try:
        stored = checked_values(build_parser(), content.get("options"))
    except InputError as error:
        raise InputError(f"{config}: does not hold a run's options ({error}); restore it, or remove it") from error
    return {name: value for name, value in stored.items() if name in names}


def choose_device(name: str) -> torch.device:
    """The device an option names.

    Raises:
        InputError: it is not on this machine.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device in available if available[device])
    if not available[name]:
        raise InputError(
            f"--device {name}: no such device here; PyTorch finds {[d for d in available if available[d]]}"
        )
    return torch.device(name)
