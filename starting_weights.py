"""What a new run's nets start from, beside the files of single nets: a pretrained classifier, a run, a shared model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from arguments import run_called
from models import SeparationNet, load_state, start_from_classifier
from runs.folder import best_weights, run_options
from utils.checkpoint import check_finite, fill_what_fits
from utils.errors import InputError
from utils.files import is_there
from utils.progress import say

LABELS = "fc.weight"  # of a label net: the vectors of the instruments


def start(model: SeparationNet, options: argparse.Namespace) -> None:
    """Fills the nets of a new run as the options say; raises InputError as `start_from`."""
    init, instruments, frozen = Path(options.init), options.instruments, options.freeze
    has_trunk = start_from(model, init, instruments, frozen) if options.init else False
    if not has_trunk:
        start_vision(model, options)


def start_from(model: SeparationNet, run: Path, instruments: Sequence[str] = (), frozen: Sequence[str] = ()) -> bool:
    """Starts all nets from a run or an exported model: what fits is taken, and what does not is listed.

    Args:
        instruments: of a model of labels: their vectors are found by their names.
        frozen: nets that training will leave as they are.

    Returns:
        Whether something of the vision net was taken.

    Raises:
        InputError: no such run, or a file of it is damaged, or nothing of it fits, or not all of a net to be frozen.
    """
    others = run_options(run).instruments
    taken = {}
    for net, path in best_weights(run_called(run)).items():
        own, state = getattr(model, net), load_state(path, net)
        if net == "vision" and instruments and others:
            state = _in_order(state, path, others, own.state_dict()[LABELS], instruments)
        new, left = fill_what_fits(own, state, path)
        total = len(own.state_dict())
        taken[net] = total - len(new)
        say(f"{net} net: {taken[net]} of {total} tensors from {path}{_listed('new', new)}{_listed('not taken', left)}")
        if new and net in frozen:
            raise InputError(f"--freeze {net}: {new[0]} is not in {path} as this model needs it, and would stay random")
    if not any(taken.values()):
        raise InputError(f"--init {run}: nothing in it fits this model")
    return taken["vision"] > 0


def _in_order(state: dict, path: str, had: Sequence[str], own: Tensor, instruments: Sequence[str]) -> dict:
    """The state of a label net with the vectors of its instruments `had` where those of `own` belong.

    Those of instruments that it did not have stay as they are in `own`, `[len(instruments), C]`; says which they are.
    """
    check_finite(state, path)
    vectors = state.get(LABELS)
    if vectors is None or vectors.shape != (len(had), own.shape[1]):
        return state
    rows = [vectors[had.index(name)] if name in had else own[n] for n, name in enumerate(instruments)]
    new, left = [name for name in instruments if name not in had], [name for name in had if name not in instruments]
    say(f"vectors of instruments: {len(rows) - len(new)} from {path}{_listed('new', new)}{_listed('not taken', left)}")
    return {LABELS: torch.stack([row.to(own.dtype) for row in rows])} if len(new) < len(rows) else {}


def _listed(what: str, names: Sequence[str]) -> str:
    return f"; {what}: {', '.join(names)}" if names else ""


def start_vision(model: SeparationNet, options: argparse.Namespace) -> None:
    """Starts the vision trunk, where there is one, from the pretrained classifier, unless weights were given."""
    if options.weights_vision or options.arch_vision == "label":
        return
    if is_there(Path(options.pretrained_vision)):
        start_from_classifier(model.vision, options.pretrained_vision)
        say(f"vision trunk starts from {options.pretrained_vision}")
    else:
        say(f"no {options.pretrained_vision}: the vision trunk starts from random weights and learns far more slowly")
