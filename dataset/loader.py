"""Batches in a fixed order, made by worker processes or in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from dataset.collate import collate
from dataset.skipped import Skipped
from utils.distributed import everyones, largest, rank, world_size
from utils.errors import InputError
from utils.parallel import interrupts_waiting
from utils.seeding import generator
from utils.signals import leave_to_parent


class EpochSampler(Sampler):
    """Keys (epoch, index): in a new order every epoch when training, else in the list's order, always epoch 0.

    Each pass of `period` indices is shuffled separately: a list that is repeated within an epoch takes the memory of
    one pass, and every row is used once before any is used again. The first `start` keys are left out.

    Rank r of W takes batches r, r + W, ...; training drops an incomplete last round, unless there is nothing else.

    Args:
        length: keys of an epoch.
        batch_size: keys of a batch in one process.
    """

    def __init__(self, length: int, batch_size: int, seed: int, shuffle: bool, period: int):
        self.length, self.batch_size, self.seed, self.shuffle, self.period = length, batch_size, seed, shuffle, period
        self.round_size = batch_size * world_size()  # keys of one batch in every process
        self.used = length // self.round_size * self.round_size or length if shuffle else length
        self.rounds = -(-self.used // self.round_size)  # batches of the first process, which has the most
        self.epoch, self.start = 0, 0

    def __len__(self) -> int:
        rounds, rest = divmod(self.used, self.round_size)
        return rounds * self.batch_size + min(self.batch_size, max(0, rest - rank() * self.batch_size))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        keys = self._shuffled(self.epoch) if self.shuffle else ((0, index) for index in range(self.length))
        for place, key in enumerate(islice(keys, self.used)):
            if place >= self.start and place // self.batch_size % world_size() == rank():
                yield key

    def _shuffled(self, epoch: int) -> Iterator[tuple[int, int]]:
        rng = generator(self.seed, epoch)
        for start in range(0, self.length, self.period):
            for index in rng.permutation(min(self.period, self.length - start)):
                yield epoch, start + int(index)


class BatchLoader:
    """Iterates over the batches of an epoch, or over this process's share of them.

    Samples that could not be read are left out of their batch if `skipped` tolerates them; a batch of fewer than
    `smallest` samples is skipped. When training, several processes stay in step: all skip a batch that one of them
    cannot use, and all know of every unreadable file.

    Attributes:
        done: batches of the pass that were handed out or skipped, or that lie before its start.
        left_out: the errors of this pass's samples that were left out.

    Args:
        dataset: of keys (epoch, index).
        batch_size: mixtures in a batch of one process; when training, an incomplete last batch is dropped.
        seed, shuffle: of the order; shuffled means training.
        period: samples after which the dataset's list starts again, each pass shuffled separately; none: all of it.
        workers: processes; 0 loads in place.
        pin_memory: page-locked batches, so that copies to a GPU do not wait.
        collate_fn: samples -> batch.
        smallest: samples that a batch needs.
        skipped: which unreadable files to tolerate; none: no file.
        check: called before each batch, equally often in every process; what it raises ends the pass.

    Raises:
        InputError: fewer training samples than the processes need for one batch each; while iterating, for a sample
            that could not be read.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int,
        seed: int,
        shuffle: bool,
        period: int | None = None,
        workers: int = 0,
        pin_memory: bool = False,
        collate_fn: Callable[[list], Any] = collate,
        smallest: int = 1,
        skipped: Skipped | None = None,
        check: Callable[[], None] = lambda: None,
    ):
        self.skipped, self.check, self.in_step = skipped or Skipped(0), check, shuffle and world_size() > 1
        self.done, self.left_out = 0, []
        self.sampler = EpochSampler(len(dataset), batch_size, seed, shuffle, period or len(dataset))
        if self.in_step and len(dataset) < self.sampler.round_size:
            raise InputError(
                f"{len(dataset)} training samples are too few for a batch of {batch_size} in each of {world_size()} "
                "processes: use fewer processes, a smaller --batch_size_per_gpu or a higher --dup_trainset"
            )
        self.loader = DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=self.sampler,
            num_workers=workers,
            collate_fn=_CollateReadable(collate_fn, smallest),
            worker_init_fn=leave_to_parent,
            persistent_workers=shuffle and workers > 0,  # an epoch begins without waiting for processes to start
            pin_memory=pin_memory,
            generator=torch.Generator(),  # a private one, so that the global one does not advance
        )

    def __len__(self) -> int:
        return len(self.loader)

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Chooses the order and the random draws of the next passes, and the batch they begin with."""
        self.sampler.epoch, self.sampler.start = epoch, start * self.sampler.round_size

    def __iter__(self) -> Iterator[Any]:
        self.done, self.left_out = self.sampler.start // self.sampler.round_size, []
        with interrupts_waiting():  # while its workers start
            batches = iter(self.loader)
        for batch, errors in batches:
            self.check()
            if self.in_step:
                batch, errors = _agreed(batch, errors)
            self.done += 1
            for error in errors:
                self.skipped.add(error)
            self.left_out += errors
            if batch is not None:
                yield batch
        if len(self.loader) < self.sampler.rounds:  # the others may be stopped before their last batch
            self.check()


def _agreed(batch: Any | None, errors: list[InputError]) -> tuple[Any | None, list[InputError]]:
    """The batch, or None if any process has none; and the errors of all processes."""
    lacking, failed = largest(batch is None, bool(errors))
    return None if lacking else batch, sum(everyones(errors), []) if failed else []


class _CollateReadable:
    """Samples, some of which are errors -> the batch of the others, None if they are too few, and the errors."""

    def __init__(self, collate_fn: Callable[[list], Any], smallest: int):
        self.collate_fn, self.smallest = collate_fn, smallest

    def __call__(self, samples: list) -> tuple[Any | None, list[InputError]]:
        readable = [sample for sample in samples if not isinstance(sample, InputError)]
        errors = [sample for sample in samples if isinstance(sample, InputError)]
        return (self.collate_fn(readable) if len(readable) >= self.smallest else None), errors
