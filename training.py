"""The training of a model: passes over its batches, on one device or several."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from dataset.collate import Batch
from dataset.loader import BatchLoader
from from_options import optimizer_of
from models import SeparationNet
from runs.state import RunKeeper
from runs.tensorboard_log import TensorBoardLog
from utils.distributed import replicate, synchronise_batch_norm, total, world_size
from utils.errors import InputError
from utils.host import OnItsWay
from utils.optimizer import set_learning_rates
from utils.precision import computing
from utils.progress import Progress
from utils.signals import Stopped


class Taken(NamedTuple):
    """A step that was taken: its batches, how many batches of the epoch are done with it, its loss and its mixtures."""

    batches: list[Batch]
    done: int
    loss: OnItsWay
    samples: int


class Trainer:
    """A model on its device with what trains it.

    Attributes:
        model: the model itself. optimizer: of its parameters. scaler: keeps the gradients of half precision in range;
            None without.

    Args:
        model: on its device, with the weights that it starts from.
        options: those of the training: learning rates, `accumulate`, `sync_bn`, `amp` and so on.
    """

    def __init__(self, model: SeparationNet, options: argparse.Namespace):
        self.device = next(model.parameters()).device
        self.model = synchronise_batch_norm(model, self.device) if options.sync_bn else model
        self.options = options
        for net in options.freeze:
            getattr(self.model, net).requires_grad_(False)
        self.optimizer = optimizer_of(options, self.model)
        self.scaler = torch.amp.GradScaler(self.device.type) if options.amp == "fp16" else None
        self.replica = replicate(self.model)

    def train_epoch(self, loader: BatchLoader, keeper: RunKeeper, log: TensorBoardLog) -> None:
        """One pass over the training mixtures, or the rest of it; `keeper.state` counts their losses.

        Raises:
            InputError: the loss is NaN or infinite, or not one batch could be read.
        """
        self.model.train()
        for net in self.options.freeze:
            getattr(self.model, net).eval()
        with computing("train", self.options.tf32, bool(self.options.deterministic)):
            self._take_steps(loader, keeper, log)
        if not keeper.state.loss_count:
            raise InputError(f"epoch {keeper.state.epoch}: not one batch of {self.options.list_train} could be read")

    def _take_steps(self, loader: BatchLoader, keeper: RunKeeper, log: TensorBoardLog) -> None:
        """The steps of an epoch; the loss of each is read while a GPU computes the next, which is not waited for."""
        state, options = keeper.state, self.options
        loader.set_epoch(state.epoch, start=state.iteration)
        set_learning_rates(self.optimizer, options.lr_steps, state.epoch)
        label = f"epoch {state.epoch}/{options.num_epoch}"
        progress = Progress(loader, label, options.disp_iter, done=state.iteration)
        done, unread = state.iteration, None

        def read() -> None:
            if unread:
                self.record(unread, len(loader), keeper, log)
                progress.note = f"loss {state.loss.value:.4f}"

        try:
            for batches in groups(progress, options.accumulate):
                loss, samples = self.compute_gradients(batches)
                taken = Taken(batches, loader.done, OnItsWay(loss), samples)
                self.step()
                read()
                unread = taken
                since, done = taken.done - done, taken.done
                if options.save_iter and happens(options.save_iter, (state.epoch - 1) * len(loader) + done, since):
                    read()
                    unread = None
                    keeper.save()
        except Stopped:
            read()
            raise
        read()

    def record(self, taken: Taken, epoch_length: int, keeper: RunKeeper, log: TensorBoardLog) -> None:
        """Counts the loss of a step that was taken; raises InputError if it is NaN or infinite."""
        state, every = keeper.state, self.options.disp_iter
        loss, iteration = total(taken.loss.value().item()), (state.epoch - 1) * epoch_length + taken.done - 1
        if not math.isfinite(loss):
            made_of = " ".join(dict.fromkeys(path for batch in taken.batches for path in batch.paths()))
            raise InputError(f"iteration {iteration}: the loss is {loss}; {keeper.last_good()}; samples: {made_of}")
        if happens(every, iteration, taken.done - state.iteration) or epoch_length < every:
            rates = {f"lr/{group['name']}": group["lr"] for group in self.optimizer.param_groups}
            log.add(iteration, {"train/loss": loss, **rates})
        state.add_batch(loss, taken.samples, taken.done)

    def compute_gradients(self, batches: list[Batch]) -> tuple[Tensor, int]:
        """The gradients of the mean loss of all mixtures of all processes, in the parameters' `grad`.

        Args:
            batches: this process's, one or more; every process gives as many.

        Returns:
            This process's share of that loss, on its device, and how many mixtures all processes have.
        """
        self.optimizer.zero_grad(set_to_none=True)
        samples = int(total(sum(map(len, batches))))
        losses = []
        for n, batch in enumerate(batches, 1):
            batch = batch.to(self.device)
            with nullcontext() if n == len(batches) or world_size() == 1 else self.replica.no_sync():
                loss = self.replica(batch.mixture, batch.clouds, batch.sources).loss * (len(batch) / samples)
                losses.append(loss.detach())
                loss = loss * world_size()  # of gradients the processes take the mean
                (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        return torch.stack(losses).sum(), samples

    def step(self) -> None:
        """Changes the weights by their gradients; half precision leaves out a step whose gradients overflowed."""
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()


def groups(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    """Lists of `size` batches, the last one of what is left."""
    group = []
    for batch in batches:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def happens(every: int, number: int, step: int) -> bool:
    """Whether one of the last `step` numbers up to `number` is a multiple of `every`."""
    return number // every > (number - step) // every
