"""A run's folder: its name, its options and weights, and whether a command may go on with it."""

from __future__ import annotations

import argparse
from pathlib import Path

from arguments import SEPARATION_OPTIONS, build_parser, check_options, run_called, stored_options
from runs.results import is_empty
from utils.errors import InputError
from utils.files import check_run_folder, fault_of_folder, is_there, real_path
from utils.options import check_unchanged, checked_values
from utils.progress import say

# The model whose weights were published, in a folder without config.json: the options of scripts/test.sh.
PUBLISHED_OPTIONS = {
    **{"num_mix": 2, "binary_mask": 1, "loss": "bce", "weighted_loss": 1, "log_freq": 1, "num_channels": 16},
    **{"num_frames": 1, "stride_frames": 15, "rgbs_feature": 1},
}
NETS = ("sound", "vision", "synthesizer")

# What may differ when a run goes on: where and how it is computed, shown and saved, not what comes out.
MAY_CHANGE = {
    *("id", "mode", "ckpt", "overwrite", "resume", "save_iter", "skip_bad_samples", "num_epoch"),
    *("device", "num_gpus", "sparse_backend", "workers", "cache", "channels_last", "compile", "grad_checkpoint"),
    *("tf32", "deterministic"),
    *("frameRate", "disp_iter", "num_vis", "tensorboard", "bss_eval", "conditioning_report"),
}


def run_options(run: Path) -> argparse.Namespace:
    """The options to separate with what is in a run's folder: its `config.json`, or else the published model's.

    The beginning of the folder's name will do, if no other's begins so.

    `weights_sound`, `weights_vision` and `weights_synthesizer` name its best weights.

    Raises:
        InputError: no such folder, or its `config.json` is damaged.
    """
    run = run_called(run)
    if fault := fault_of_folder(run):
        raise InputError(f"{run}: {fault}; expected one with sound_best.pth, vision_best.pth, ... of a run")
    options, config = build_parser().parse_args([]), run / "config.json"
    vars(options).update(stored_options(config, SEPARATION_OPTIONS) if is_there(config) else PUBLISHED_OPTIONS)
    try:
        check_options(options)
    except InputError as error:
        raise InputError(f"{config}: {error}") from error
    vars(options).update(weights_of(run))
    return options


def weights_of(run: Path) -> dict[str, str]:
    """The options `weights_sound`, ... that name the best weights in a run's folder."""
    return {f"weights_{net}": str(run / f"{net}_best.pth") for net in NETS}


def check_resumed(last: dict, options: argparse.Namespace) -> None:
    """Rejects resuming a run, whose `last.pth` holds `last`, with options that change the result.

    More epochs than before are no such change, fewer are. The batches of a step may be shared out otherwise; another
    number of devices may also change how large they are together, and then this is said. So is what has changed since
    the run was last saved.

    Raises:
        InputError: with the options' names.
    """
    parser = build_parser()
    try:
        stored = checked_values(parser, last["options"])
    except InputError as error:
        raise InputError(f"last.pth: not the options of a run ({error})") from error
    was = {**vars(parser.parse_args([])), **stored}  # an option newer than the run had its default
    may_change = set(MAY_CHANGE)
    if options.num_epoch < was["num_epoch"]:
        may_change.remove("num_epoch")
    before, now = mixtures_together(was), mixtures_together(vars(options))
    if before["a step of the optimiser"] == now["a step of the optimiser"]:
        may_change |= {"batch_size_per_gpu", "accumulate"}
    check_unchanged(was, vars(options), may_change)
    for what in now:
        if before[what] != now[what]:
            say(f"{what} now sees {now[what]} mixtures, {before[what]} before: the result will be another")
    if last["format"] == 1 and options.num_frames > 1:
        say(
            f"the {options.num_frames} frames of a source are now normalised apart, as in the reference; before, batch "
            "norm saw them together: the result will be another"
        )


def mixtures_together(options: dict) -> dict[str, int]:
    """How many mixtures are seen together, and by what."""
    batch, devices = options["batch_size_per_gpu"], options["num_gpus"]
    return {
        "a step of the optimiser": batch * devices * options["accumulate"],
        "batch norm": batch * (devices if options["sync_bn"] else 1),
    }


def find_run(options: argparse.Namespace) -> Path:
    """The folder of the run to train or evaluate; to resume, that of the same run with fewer epochs if it has none.

    Raises:
        InputError: to evaluate, the folder would be `ckpt` itself, or one that holds it.
    """
    if options.mode == "eval":
        run = Path(options.ckpt) / options.id
        if real_path(Path(options.ckpt)).is_relative_to(real_path(run)):
            raise InputError(f"--id {options.id}: expected the name of a folder in {options.ckpt}")
        if is_there(run):
            check_run_folder(run)
        return run
    run = Path(options.ckpt) / run_name(options)
    if not options.resume or not is_empty(run):
        return run
    earlier = run if options.id else run.with_name(run.name[1:])  # what a run without an id was called before
    return next((path for path in (earlier, _shorter(run), _shorter(earlier)) if path and not is_empty(path)), run)


def _shorter(run: Path) -> Path | None:
    """The folder of the same run with fewer epochs, with the most of these; None if there is none."""
    name, _, epochs = run.name.rpartition("epoch")
    others = [path.parent for path in run.parent.glob("*/last.pth") if path.parent.name.startswith(f"{name}epoch")]
    found = {int(number): path for path in others if (number := path.name.removeprefix(f"{name}epoch")).isdecimal()}
    return max(((n, path) for n, path in found.items() if n < int(epochs)), default=(0, None))[1]


def run_name(options: argparse.Namespace) -> str:
    """The folder of a training run: the options that make it what it is."""
    parts = [options.id, f"{options.num_mix}mix", "rgb_depth" if options.rgbs_feature else "only_depth"]
    if options.log_freq:
        parts.append("LogFreq")
    parts += [options.arch_vision, options.arch_sound, options.arch_synthesizer]
    parts += [f"frames{options.num_frames}stride{options.stride_frames}", options.frame_pool]
    parts.append("binary" if options.binary_mask else "ratio")
    if options.weighted_loss:
        parts.append("weightedLoss")
    parts += [f"channels{options.num_channels}", f"epoch{options.num_epoch}"]
    return "-".join(parts)
