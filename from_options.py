"""Options of the command line -> the settings and the parts that they describe: everything below takes no options."""

from __future__ import annotations

import argparse
from types import ModuleType

import torch

from dataset.eval_list import read_eval_list
from dataset.index import read_index
from dataset.loader import BatchLoader
from dataset.music import MUSICMixDataset
from dataset.settings import FrameSettings, VoxelSettings, Window
from dataset.skipped import Skipped
from models import SeparationNet, build_separation_net, sparse
from models.description import ComputeSettings, ModelSettings
from utils.errors import InputError
from utils.optimizer import build_optimizer
from utils.parallel import usable_cores
from utils.signals import StopSignals
from utils.spectrogram import LOG_BINS


def window_of(options: argparse.Namespace) -> Window:
    """What is heard of a recording."""
    return Window(options.audLen, options.audRate)


def frames_of(options: argparse.Namespace) -> FrameSettings:
    """Which frames are seen of a performer."""
    return FrameSettings(options.num_frames, options.stride_frames)


def voxels_of(options: argparse.Namespace) -> VoxelSettings:
    """What is seen of a cloud."""
    return VoxelSettings(options.voxel_size, bool(options.rgbs_feature))


def model_of(options: argparse.Namespace) -> ModelSettings:
    """What the model is."""
    return ModelSettings(
        arch_sound=options.arch_sound,
        arch_vision=options.arch_vision,
        arch_synthesizer=options.arch_synthesizer,
        num_channels=options.num_channels,
        ngf=options.ngf,
        num_labels=len(options.instruments),
        num_frames=options.num_frames,
        frame_pool=options.frame_pool,
        vision_activation=options.vision_activation,
        sound_activation=options.sound_activation,
        output_activation=options.output_activation,
        binary_mask=bool(options.binary_mask),
        mask_thres=options.mask_thres,
        loss=options.loss,
        weighted_loss=bool(options.weighted_loss),
        weight_scale=options.weight_scale,
        log_freq=bool(options.log_freq),
        log_bins=options.log_bins,
        stft_frame=options.stft_frame,
        stft_hop=options.stft_hop,
    )


def computing_of(options: argparse.Namespace) -> ComputeSettings:
    """How the U-Net is computed."""
    return ComputeSettings(
        amp=options.amp,
        channels_last=options.channels_last,
        tf32=options.tf32,
        compile=bool(options.compile),
        grad_checkpoint=bool(options.grad_checkpoint),
    )


def weights_of(options: argparse.Namespace) -> dict[str, str]:
    """Net -> the file that its weights start from; empty for new ones."""
    return {net: getattr(options, f"weights_{net}") for net in ("sound", "vision", "synthesizer")}


def build_model(
    options: argparse.Namespace, engine: ModuleType = sparse, device: torch.device | str = "cpu"
) -> SeparationNet:
    """The separator that the options describe, as `models.build_separation_net` builds it."""
    return build_separation_net(model_of(options), weights_of(options), computing_of(options), engine, device)


def optimizer_of(options: argparse.Namespace, model: SeparationNet) -> torch.optim.Optimizer:
    """The optimiser that the options describe, as `utils.optimizer.build_optimizer` builds it."""
    return build_optimizer(
        model,
        options.optimizer,
        lr_sound=options.lr_sound,
        lr_vision=options.lr_vision,
        lr_synthesizer=options.lr_synthesizer,
        beta1=options.beta1,
        weight_decay=options.weight_decay,
        fused=options.amp != "fp16",  # a skipped fused step corrupts the momentum buffers
    )


def evaluated_list(options: argparse.Namespace) -> dict[str, str]:
    """The option that names what is evaluated, and its file."""
    return {"eval_list": options.eval_list} if options.eval_list else {"list_val": options.list_val}


def build_loader(
    options: argparse.Namespace, training: bool, device: torch.device, skipped: Skipped, stop: StopSignals
) -> BatchLoader:
    """The mixtures of the training or the validation list, or this process's share of them."""
    rows, listed = [], None
    if options.eval_list and not training:
        sizes = {name: getattr(options, name) for name in ("num_mix", "num_frames")}
        listed = read_eval_list(options.eval_list, **sizes, window=window_of(options))
    else:
        rows = read_index(options.list_train if training else options.list_val)
    count = len(rows) * options.dup_trainset if training else len(listed or rows)
    if not training and options.num_val >= 0:
        count = min(count, options.num_val)
    if not count:
        raise InputError("--num_val 0: there is nothing to evaluate; use -1 for the whole list")
    dataset = MUSICMixDataset(
        rows,
        training=training,
        num_samples=count,
        seed=options.seed,
        num_mix=options.num_mix,
        window=window_of(options),
        frames=frames_of(options),
        voxels=voxels_of(options),
        augment=options.augment,
        cache=options.cache,
        listed=listed,
        instruments=options.instruments,
        distinct=bool(options.distinct),
        with_absent=bool(options.conditioning_report) and not training,
    )
    return BatchLoader(
        dataset,
        batch_size=options.batch_size_per_gpu,
        seed=options.seed,
        shuffle=training,
        period=len(rows),
        workers=min(options.workers, usable_cores()),
        pin_memory=device.type == "cuda",
        smallest=2 if training else 1,  # clouds of a source and frame, which batch normalisation sees together
        skipped=skipped,
        check=stop.check,
    )


def run_name(options: argparse.Namespace) -> str:
    """The folder of a training run: the options that make it what it is."""
    parts = [options.id, f"{options.num_mix}mix", "rgb_depth" if options.rgbs_feature else "only_depth"]
    if options.log_freq:
        parts.append("LogFreq" if options.log_bins == LOG_BINS else f"LogFreq{options.log_bins}")
    parts += [options.arch_vision, options.arch_sound, options.arch_synthesizer]
    parts += [f"frames{options.num_frames}stride{options.stride_frames}", options.frame_pool]
    parts.append("binary" if options.binary_mask else "ratio")
    if options.weighted_loss:
        parts.append("weightedLoss")
    parts += [f"channels{options.num_channels}", f"epoch{options.num_epoch}"]
    return "-".join(parts)


def changed(options: argparse.Namespace, **values: object) -> argparse.Namespace:
    """The same options but for some values."""
    return argparse.Namespace(**{**vars(options), **values})
