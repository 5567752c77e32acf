"""`last.pth`: everything a run needs to resume where it stopped; its other files are made from it.

It is always written first. Whatever a process that is killed has not written, the next one can therefore make again.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer

from runs.history import as_rows, best_row, is_history, new_history, plot_history
from runs.results import is_empty
from utils import checkpoint
from utils.distributed import main_only
from utils.errors import InputError
from utils.files import is_there, write_json
from utils.host import to_host
from utils.meters import Mean
from utils.progress import say
from utils.seeding import random_state, restore_random_state

# Bump it when older files can no longer be resumed as they are: in 1 batch norm in training saw all frames of a source
# together; in 2 learning curves were lists side by side.
FORMAT = 3
READABLE = (1, 2, 3)
LAST, HISTORY = "last.pth", "history_latest.pth"
MOST = 10**12  # largest number in learning curves


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
        return next((row for row in self.history["val"] if row["epoch"] == self.best_epoch), {})

    def set_batch_size(self, batch_size: int) -> None:
        """Switches the batch size, rounding the position down to a whole batch."""
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
            self.history["train"].append({"epoch": self.epoch, "loss": self.loss.value})
        if summary is not None:
            self.history["val"].append({"epoch": self.epoch, **summary})
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
        InputError: the folder is not empty, and resuming was not asked for or is impossible.
    """
    if overwrite or is_empty(run):
        return None
    if not resume:
        raise InputError(
            f"{run}: already holds a run; --resume 1 resumes it, --overwrite 1 starts over, or choose another {another}"
        )
    if not is_there(run / LAST):
        raise InputError(f"{run}: holds files but no {LAST} to resume from; choose another {another}, or --overwrite 1")
    content = checkpoint.load(run / LAST)
    if content.get("format") not in READABLE:
        raise InputError(f"{run / LAST}: not written by this version; choose another {another}, or --overwrite 1")
    if isinstance(content.get("state"), dict):
        content["state"]["history"] = as_rows(content["state"].get("history"))
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
        and is_history(state.history)
        and (state.best_epoch < 0 or any(row["epoch"] == state.best_epoch for row in state.history["val"]))
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
    history = as_rows(checkpoint.load(run / HISTORY))
    if not is_history(history):
        raise InputError(f"{run / HISTORY}: not the learning curves of a run; remove it")
    return history


def best_epoch(run: Path) -> int:
    """The epoch of the weights in a run's `*_best.pth`; 0 if it has no history, as published weights.

    Raises:
        InputError: the history is damaged.
    """
    history = read_history(run)
    if history is None:
        return 0
    best = best_row(history["val"])
    return 0 if best is None else best["epoch"]


def note_lists(state: RunState, **lists: str) -> None:
    """Notes the fingerprints of index files, by the option that names each; says so if one is no longer what it was
    when the run began."""
    for name, path in lists.items():
        fingerprint = zlib.crc32(Path(path).read_bytes())
        if state.lists.setdefault(name, fingerprint) != fingerprint:
            say(f"{path} has changed since the run began: the result will differ from that of a single list")
        state.lists[name] = fingerprint


def _are_finite(content: object) -> bool:
    tensors = (tensor for _, tensor in checkpoint.tensors_in(content) if tensor.numel())
    return all(bool(torch.stack(torch.aminmax(tensor)).isfinite().all()) for tensor in tensors)  # of NaN: NaN
