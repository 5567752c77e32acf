"""`last.pth`: all that a run needs to go on where it stopped, and from which its other files are written.

It is written before every other file of a moment, so that a process that is killed in between leaves nothing that
the next one cannot make good.
"""

from __future__ import annotations

import argparse
import math
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer

from utils import checkpoint
from utils.distributed import main_only
from utils.errors import InputError
from utils.files import is_there, write_json
from utils.host import to_host
from utils.meters import Mean
from utils.progress import say
from utils.results import is_empty, new_history, plot_history, record
from utils.seeding import random_state, restore_random_state

FORMAT = 2  # in 1 batch norm in training saw all frames of a source together
READABLE = (1, 2)
LAST, HISTORY = "last.pth", "history_latest.pth"
MOST = 10**12  # of any number in learning curves
SCORES = {"sdr", "sir", "sar", "sdr_mixture"}  # among the curves of a run that was evaluated
SCORES_OF_CLASSES = {"accuracy", "per_class"}  # of a pretrained classifier, the second a list of numbers for each test


@dataclass
class RunState:
    """How far a run is.

    epoch: the one in progress; 0 is the evaluation of the initial weights. iteration: how many of its batches are
    done. batch_size: samples of such a batch, all processes together; 0 if it is not known, and never changes.
    loss_total, loss_count: of the samples. history: learning curves of the epochs before. best_loss: the
    lowest of their validation losses, of epoch `best_epoch`; infinite and -1 while there is none. skipped: unreadable
    files, path -> reason. lists: option -> fingerprint of the index file.
    """

    epoch: int = 0
    iteration: int = 0
    batch_size: int = 0
    loss_total: float = 0.0
    loss_count: int = 0
    history: dict = field(default_factory=new_history)
    best_loss: float = math.inf
    best_epoch: int = -1
    skipped: dict[str, str] = field(default_factory=dict)
    lists: dict[str, int] = field(default_factory=dict)

    @property
    def loss(self) -> Mean:
        """The mean training loss of the epoch in progress."""
        return Mean(self.loss_total, self.loss_count)

    def best_scores(self) -> dict[str, float]:
        """The epoch of the best weights so far and the summary of its evaluation; empty while there is none."""
        curves = self.history["val"]
        if self.best_epoch < 0:
            return {}
        at = curves["epoch"].index(self.best_epoch)
        return {name: values[at] for name, values in curves.items()}

    def set_batch_size(self, batch_size: int) -> None:
        """Counts in batches of another size from now on: the epoch goes on at the last one that begins before here."""
        if self.batch_size:
            self.iteration = self.iteration * self.batch_size // batch_size
        self.batch_size = batch_size

    def add_batch(self, loss: float, samples: int, iteration: int) -> None:
        """Counts a step: its mean loss, its samples, and how many batches of the epoch are done with it."""
        mean = self.loss
        mean.add(loss, samples)
        self.loss_total, self.loss_count, self.iteration = mean.total, mean.count, iteration

    def finish_epoch(self, summary: dict | None) -> None:
        """Adds the epoch in progress to the history, with the `summary` of its evaluation, if there was one."""
        if self.epoch:
            record(self.history["train"], self.epoch, {"loss": self.loss.value})
        if summary is not None:
            record(self.history["val"], self.epoch, summary)
            if math.isfinite(summary["loss"]) and summary["loss"] <= self.best_loss:
                self.best_loss, self.best_epoch = summary["loss"], self.epoch
        self.epoch, self.iteration, self.loss_total, self.loss_count = self.epoch + 1, 0, 0.0, 0


@dataclass
class RunKeeper:
    """Saves a run with all its parts into its folder, and puts them back as they were saved."""

    run: Path
    options: dict
    state: RunState
    nets: dict[str, nn.Module]
    optimizer: Optimizer
    scaler: torch.amp.GradScaler | None = None

    @main_only
    def save(self) -> None:
        """Writes `last.pth`, then at an epoch's end the files made from it; raises as `save_last`."""
        write_outputs(self.run, self.save_last())

    def save_last(self) -> dict:
        """Writes `last.pth` alone; returns its content.

        Raises:
            InputError: a weight is NaN or infinite; nothing is written.
            WriteError: a file cannot be written; the one before is still there.
        """
        content = {
            "format": FORMAT,
            "options": self.options,
            "state": asdict(self.state),
            **to_host(
                {
                    "nets": {name: net.state_dict() for name, net in self.nets.items()},
                    "optimizer": self.optimizer.state_dict(),
                }
            ),
            "scaler": self.scaler.state_dict() if self.scaler else {},
            "random": random_state(),
        }
        if not all(_are_finite(content[part]) for part in ("nets", "optimizer")):
            raise InputError(
                f"epoch {self.state.epoch}, iteration {self.state.iteration}: weights are NaN or infinite and were "
                f"not saved; {self.last_good()}"
            )
        checkpoint.save(content, self.run / LAST)
        return content

    def restore(self, content: dict) -> None:
        """Puts nets, optimiser and random generators back; `content` is that of `last.pth`.

        Raises:
            InputError: they are those of another model, or damaged.
        """
        for name, net in self.nets.items():
            checkpoint.fill(net, content["nets"].get(name, {}), self.run / LAST)
        try:
            self._restore_rest(content)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
            raise InputError(
                f"{self.run / LAST}: not the state of a run ({type(error).__name__}); choose another folder, or "
                "--overwrite 1"
            ) from error

    def _restore_rest(self, content: dict) -> None:
        self.optimizer.load_state_dict(content["optimizer"])
        for parameter, state in self.optimizer.state.items():  # laid out in memory as their parameters are now
            for name, value in state.items():
                if torch.is_tensor(value) and value.shape == parameter.shape:
                    state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        if self.scaler and content.get("scaler"):
            self.scaler.load_state_dict(content["scaler"])
        restore_random_state(content["random"])

    def last_good(self) -> str:
        """Where the last good weights are, in words."""
        if not is_there(self.run / LAST):
            return "there is no good checkpoint yet"
        state = RunState(**checkpoint.load(self.run / LAST)["state"])
        return f"the last good checkpoint is {self.run / LAST} (epoch {state.epoch}, iteration {state.iteration})"


def read_last(run: Path, resume: bool, overwrite: bool, another: str = "--id") -> dict | None:
    """The content of a run's `last.pth`; None if a new run begins in this folder, which the option `another` names.

    Raises:
        InputError: the folder holds something, and it is not said or not possible to go on from there.
    """
    if overwrite or is_empty(run):
        return None
    if not resume:
        raise InputError(
            f"{run}: already holds a run; --resume 1 goes on with it, --overwrite 1 writes over it, or choose "
            f"another {another}"
        )
    if not is_there(run / LAST):
        raise InputError(f"{run}: holds files but no {LAST} to resume from; choose another {another}, or --overwrite 1")
    content = checkpoint.load(run / LAST)
    if content.get("format") not in READABLE:
        raise InputError(f"{run / LAST}: not written by this version; choose another {another}, or --overwrite 1")
    if not _is_last(content):
        raise InputError(f"{run / LAST}: not the state of a run; choose another {another}, or --overwrite 1")
    return content


def _is_last(content: dict) -> bool:
    """Whether what a `last.pth` holds has the types that `RunKeeper.save_last` gives it."""
    parts = ("options", "state", "nets", "optimizer", "random")
    if not all(isinstance(content.get(name), dict) for name in parts):
        return False
    try:
        state = RunState(**content["state"])
    except TypeError:  # other fields
        return False
    counts = (state.epoch, state.iteration, state.batch_size, state.loss_count)
    losses = (state.loss_total, state.best_loss)
    return (
        all(isinstance(count, int) and 0 <= count <= MOST for count in counts)
        and all(isinstance(loss, int | float) for loss in losses)
        and isinstance(state.best_epoch, int)
        and _is_history(state.history)
        and (state.best_epoch < 0 or state.best_epoch in state.history["val"]["epoch"])
        and all(isinstance(part, dict) for part in (state.skipped, state.lists, *content["nets"].values()))
    )


def write_outputs(run: Path, content: dict) -> None:
    """Writes what the content of a `last.pth` at an epoch's end says: weights, latest and best, history and curves.

    The history comes last: it tells that all are written.
    """
    state = RunState(**content["state"])
    if state.skipped:
        write_json(run / "skipped.json", state.skipped)
    if state.iteration or not state.epoch:
        return
    labels = ["latest", "best"] if state.best_epoch == state.epoch - 1 else ["latest"]
    for label in labels:
        for net, weights in content["nets"].items():
            checkpoint.save(weights, run / f"{net}_{label}.pth")
    plot_history(run, state.history)
    checkpoint.save(state.history, run / HISTORY)


@main_only
def finish_outputs(run: Path) -> None:
    """Writes what a killed process did not: the nets in `*_best.pth` then belong together.

    The history, which is written last, tells by what it holds whether that is so; clocks may be wrong.
    """
    if not is_there(run / LAST):
        return
    content = read_last(run, resume=True, overwrite=False)
    if repr(read_history(run)) != repr(content["state"]["history"]):  # as text, in which NaN equals itself
        write_outputs(run, content)


def read_history(run: Path) -> dict | None:
    """The learning curves in a run's folder; None if there are none.

    Raises:
        InputError: the file is damaged, or holds something else.
    """
    if not is_there(run / HISTORY):
        return None
    history = checkpoint.load(run / HISTORY)
    if not _is_history(history) or (history["val"]["epoch"] and not history["val"].keys() >= SCORES):
        raise InputError(f"{run / HISTORY}: not the learning curves of a run; remove it")
    return history


def _is_history(content: object) -> bool:
    """Whether it is as `new_history` and `record` make it, of numbers that can be drawn."""
    if not isinstance(content, dict):
        return False
    for part in ("train", "val"):
        curves = content.get(part)
        if not isinstance(curves, dict) or not all(isinstance(values, list) for values in curves.values()):
            return False
        if not {"epoch", "loss"} <= curves.keys() or len({len(values) for values in curves.values()}) != 1:
            return False
        if not all(isinstance(value, int) and 0 <= value <= MOST for value in curves["epoch"]):
            return False
        numbers = [values for name, values in curves.items() if name != "per_class"] + curves.get("per_class", [])
        if not all(isinstance(values, list) and all(map(_is_drawable, values)) for values in numbers):
            return False
    found = content["val"].keys()
    return not content["val"]["epoch"] or found >= SCORES or found >= SCORES_OF_CLASSES


def _is_drawable(value: object) -> bool:
    return isinstance(value, int | float) and (not math.isfinite(value) or abs(value) <= MOST)


def best_epoch(run: Path) -> int:
    """The epoch of the weights in a run's `*_best.pth`; 0 if it has no history, as published weights.

    Raises:
        InputError: the history is damaged.
    """
    history = read_history(run)
    if history is None:
        return 0
    val = history["val"]
    finite = [(loss, -epoch) for loss, epoch in zip(val["loss"], val["epoch"], strict=True) if math.isfinite(loss)]
    return -min(finite, default=(0.0, 0))[1]  # of equals the later


def note_lists(state: RunState, options: argparse.Namespace) -> None:
    """Notes the fingerprints of the index files; says so if one is no longer what it was when the run began."""
    for name in ("list_train", "eval_list" if options.eval_list else "list_val"):
        path = Path(getattr(options, name))
        fingerprint = zlib.crc32(path.read_bytes())
        if state.lists.setdefault(name, fingerprint) != fingerprint:
            say(f"{path} has changed since the run began: the result will be another than that of one list")
        state.lists[name] = fingerprint


def _are_finite(content: object) -> bool:
    tensors = (tensor for _, tensor in checkpoint.tensors_in(content) if tensor.numel())
    return all(bool(torch.stack(torch.aminmax(tensor)).isfinite().all()) for tensor in tensors)  # of NaN: NaN
