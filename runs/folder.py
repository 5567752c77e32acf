"""A run's folder: where it lies, its options and weights, and whether a command may resume it."""

from __future__ import annotations

import argparse
from pathlib import Path

from arguments import SEPARATION_OPTIONS, build_parser, check_options, run_called, stored_options
from runs.results import is_empty
from utils.errors import InputError
from utils.files import check_run_folder, fault_of_folder, is_there, read_json, real_path
from utils.options import check_unchanged, checked_values
from utils.progress import say
from utils.shared_weights import ENDING

# The model whose weights were published, in a folder without config.json: the options of scripts/test.sh.
PUBLISHED_OPTIONS = {
    **{"num_mix": 2, "binary_mask": 1, "loss": "bce", "weighted_loss": 1, "log_freq": 1, "num_channels": 16},
    **{"num_frames": 1, "stride_frames": 15, "rgbs_feature": 1},
}
NETS = ("sound", "vision", "synthesizer")
WEIGHTS = f"model{ENDING}"  # weights of all nets of an exported model
FORMAT = 1  # of an exported model's config.json

# What may differ when a run is resumed: where and how it is computed, shown and saved, but not its result.
MAY_CHANGE = {
    *("id", "mode", "ckpt", "overwrite", "resume", "save_iter", "skip_bad_samples", "num_epoch"),
    *("device", "num_gpus", "sparse_backend", "workers", "cache", "channels_last", "compile", "grad_checkpoint"),
    *("tf32", "deterministic"),
    *("frameRate", "disp_iter", "num_vis", "tensorboard", "bss_eval", "conditioning_report", "masks"),
}


def run_options(run: Path) -> argparse.Namespace:
    """The options to separate with what is in a run's folder: its `config.json`, or else the published model's.

    The beginning of the folder's name is enough if it is unique.

    `weights_sound`, `weights_vision` and `weights_synthesizer` name the run's best weights.

    Raises:
        InputError: no such folder, or its `config.json` is damaged.
    """
    run = run_called(run)
    if fault := fault_of_folder(run):
        raise InputError(f"{run}: {fault}; expected one with sound_best.pth, vision_best.pth, ... of a run")
    options, config = build_parser().parse_args([]), run / "config.json"
    if is_there(run / WEIGHTS):
        _check_model(config)
    vars(options).update(stored_options(config, SEPARATION_OPTIONS) if is_there(config) else PUBLISHED_OPTIONS)
    try:
        check_options(options)
    except InputError as error:
        raise InputError(f"{config}: {error}") from error
    vars(options).update({f"weights_{net}": path for net, path in best_weights(run).items()})
    return options


def options_of_mixtures(run: Path) -> dict:
    """Those of a run's options that decide on which mixtures it is evaluated in training, and with which masks.

    Raises InputError if its `config.json` is damaged.
    """
    return stored_options(run / "config.json", ["list_val", "eval_list", "seed", "num_mix", "masks"])


def _check_model(config: Path) -> None:
    """Raises InputError if an exported model has no `config.json`, or one that a later version wrote."""
    if not is_there(config):
        raise InputError(f"{config}: missing; an exported model has its settings there")
    found = read_json(config).get("format", FORMAT)
    if found != FORMAT:
        raise InputError(f"{config}: of format {found!r:.20}, which this version does not know; it reads {FORMAT}")


def best_weights(run: Path) -> dict[str, str]:
    """Net -> the file of its best weights in a run's folder, or of its weights in that of an exported model."""
    if is_there(run / WEIGHTS):
        return dict.fromkeys(NETS, str(run / WEIGHTS))
    return {net: str(run / f"{net}_best.pth") for net in NETS}


def check_resumed(last: dict, options: dict) -> None:
    """Rejects options that would change the result of a run to be resumed, whose `last.pth` holds `last`.

    The number of epochs may be raised but not lowered. The batches of a
    step may be divided differently. Another number of devices may change how many mixtures are seen together; a note
    then says so, as it does for what has changed in this code since the run was last saved.

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
    if options["num_epoch"] < was["num_epoch"]:
        may_change.remove("num_epoch")
    before, now = mixtures_together(was), mixtures_together(options)
    if before["a step of the optimiser"] == now["a step of the optimiser"]:
        may_change |= {"batch_size_per_gpu", "accumulate"}
    check_unchanged(was, options, may_change)
    for what in now:
        if before[what] != now[what]:
            say(f"{what} now sees {now[what]} mixtures, {before[what]} before: the result will differ")
    if last["format"] == 1 and options["num_frames"] > 1:
        say(
            f"the {options['num_frames']} frames of a source are now normalised apart, as in the reference; before, "
            "batch norm saw them together: the result will differ"
        )


def mixtures_together(options: dict) -> dict[str, int]:
    """How many mixtures are seen together, by the optimiser and by batch norm."""
    batch, devices = options["batch_size_per_gpu"], options["num_gpus"]
    return {
        "a step of the optimiser": batch * devices * options["accumulate"],
        "batch norm": batch * (devices if options["sync_bn"] else 1),
    }


def run_to_evaluate(ckpt: Path, name: str, *, has_weights: bool) -> Path:
    """The folder of the run `name` below `ckpt`.

    Args:
        has_weights: whether the weights come from elsewhere, so that the folder may be new.

    Raises:
        InputError: there is no such run, or it would be `ckpt` itself, or a folder that holds it.
    """
    run = ckpt / name
    if real_path(ckpt).is_relative_to(real_path(run)):
        raise InputError(f"--id {name}: expected the name of a folder in {ckpt}")
    if is_there(run):
        check_run_folder(run)
    elif not has_weights and (ckpt.is_dir() or not is_there(ckpt)):  # or else whoever writes there says what it is
        names = sorted(folder.name for folder in ckpt.iterdir() if folder.is_dir()) if ckpt.is_dir() else []
        raise InputError(f"--id {name}: no run in {ckpt} has a name that begins with this{_some(names)}")
    return run


def _some(names: list[str], most: int = 5) -> str:
    """What the end of a message says of the runs that there are."""
    if not names:
        return "; there are no runs"
    return f"; there are: {', '.join(names[:most])}" + (f" and {len(names) - most} more" if len(names) > most else "")


def run_to_train(ckpt: Path, name: str, *, has_id: bool, resume: bool) -> Path:
    """The folder of the run `name` below `ckpt`; to resume, that of the same run with fewer epochs if it does not
    exist.

    Args:
        has_id: whether the name begins with an id.
    """
    run = ckpt / name
    if not resume or not is_empty(run):
        return run
    earlier = run if has_id else run.with_name(run.name[1:])  # what a run without an id was called before
    return next((path for path in (earlier, _shorter(run), _shorter(earlier)) if path and not is_empty(path)), run)


def _shorter(run: Path) -> Path | None:
    """The folder of the same run with fewer epochs, the most of those that exist; None if there is none."""
    name, _, epochs = run.name.rpartition("epoch")
    others = [path.parent for path in run.parent.glob("*/last.pth") if path.parent.name.startswith(f"{name}epoch")]
    found = {int(number): path for path in others if (number := path.name.removeprefix(f"{name}epoch")).isdecimal()}
    return max(((n, path) for n, path in found.items() if n < int(epochs)), default=(0, None))[1]
