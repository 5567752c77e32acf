"""What a new run's nets start from, beside the files of single nets: a pretrained classifier, a run, a shared model."""

from __future__ import annotations

import argparse
from pathlib import Path

from arguments import run_called
from models import SeparationNet, load_state, start_from_classifier
from runs.folder import best_weights, run_options
from utils.checkpoint import fill_what_fits
from utils.errors import InputError
from utils.files import is_there
from utils.progress import say


def start(model: SeparationNet, options: argparse.Namespace) -> None:
    """Fills the nets of a new run as the options say; raises InputError as `start_from`."""
    if options.init:
        start_from(model, Path(options.init))
    else:
        start_vision(model, options)


def start_from(model: SeparationNet, run: Path) -> None:
    """Starts all nets from a run or an exported model: what fits is taken, and what does not is listed.

    Raises:
        InputError: no such run, or a file of it is damaged, or nothing of it fits.
    """
    run_options(run)  # says what is wrong with the folder
    fits = False
    for net, path in best_weights(run_called(run)).items():
        own = getattr(model, net)
        others = fill_what_fits(own, load_state(path, net))
        total = len(own.state_dict())
        fits |= len(others) < total
        say(f"{net} net: {total - len(others)} of {total} tensors from {path}{_listed(others)}")
    if not fits:
        raise InputError(f"--init {run}: nothing in it fits this model")


def _listed(names: list[str], most: int = 3) -> str:
    if not names:
        return ""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return f"; new: {', '.join(names[:most])}{rest}"


def start_vision(model: SeparationNet, options: argparse.Namespace) -> None:
    """Starts the vision trunk, where there is one, from the pretrained classifier, unless weights were given."""
    if options.weights_vision or options.arch_vision == "label":
        return
    if is_there(Path(options.pretrained_vision)):
        start_from_classifier(model.vision, options.pretrained_vision)
        say(f"vision trunk starts from {options.pretrained_vision}")
    else:
        say(f"no {options.pretrained_vision}: the vision trunk starts from random weights and learns far more slowly")
