"""Batches in a fixed order, made by worker processes or in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from dataset.collate import collate
from utils.errors import InputError
from utils.seeding import generator
from utils.signals import leave_to_parent
from utils.skipped import Skipped


class EpochSampler(Sampler):
    """Keys (epoch, index): in a new order every epoch when training, else in the list's order, always epoch 0.

    Each pass of `period` indices is shuffled by itself: a list that is repeated in an epoch takes the memory of one
    pass, and every row comes once before any comes again. `start` keys are left out at the beginning.
    """

    def __init__(self, length: int, seed: int, shuffle: bool, period: int):
        self.length, self.seed, self.shuffle, self.period = length, seed, shuffle, period
        self.epoch, self.start = 0, 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        keys = self._shuffled(self.epoch) if self.shuffle else ((0, index) for index in range(self.length))
        return islice(keys, self.start, None)

    def _shuffled(self, epoch: int) -> Iterator[tuple[int, int]]:
        rng = generator(self.seed, epoch)
        for start in range(0, self.length, self.period):
            for index in rng.permutation(min(self.period, self.length - start)):
                yield epoch, start + int(index)


class BatchLoader:
    """Iterates over the batches of an epoch.

    Samples that could not be read are left out of their batch, if `skipped` lets them pass; a batch of fewer than
    `smallest` samples is passed over.

    Attributes:
        done: batches of the pass that were handed out, passed over, or before its start.
        left_out: the errors of this pass's samples that were left out.

    Args:
        dataset: of keys (epoch, index).
        batch_size: mixtures in a batch; when training, the rest that fills none is left out.
        seed, shuffle: of the order; shuffled means training.
        period: samples after which the dataset's list starts over, each pass shuffled by itself; none: all of it.
        workers: processes; 0 loads in place.
        pin_memory: page-locked batches, for copies to a GPU that do not wait.
        collate_fn: samples -> batch.
        smallest: samples that a batch needs.
        skipped: which unreadable files to pass over; none: not one.
        check: called before each batch; what it raises ends the pass.

    Raises:
        InputError: while iterating, for a sample that could not be read.
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
        self.skipped, self.check = skipped or Skipped(0), check
        self.done, self.left_out = 0, []
        self.sampler = EpochSampler(len(dataset), seed, shuffle, period or len(dataset))
        self.loader = DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=self.sampler,
            num_workers=workers,
            collate_fn=_CollateReadable(collate_fn, smallest),
            worker_init_fn=leave_to_parent,
            drop_last=shuffle and len(dataset) >= batch_size,
            pin_memory=pin_memory,
            generator=torch.Generator(),  # its draws seed workers; ours need none, the global one stays put
        )

    def __len__(self) -> int:
        return len(self.loader)

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Chooses the order and the random draws of the next passes, and the batch they start from."""
        self.sampler.epoch, self.sampler.start = epoch, start * self.loader.batch_size

    def __iter__(self) -> Iterator[Any]:
        self.done, self.left_out = self.sampler.start // self.loader.batch_size, []
        for batch, errors in self.loader:
            self.check()
            self.done += 1
            for error in errors:
                self.skipped.add(error)
            self.left_out += errors
            if batch is not None:
                yield batch


class _CollateReadable:
    """Samples, some of them errors -> the batch of the others, None if they are too few, and the errors."""

    def __init__(self, collate_fn: Callable[[list], Any], smallest: int):
        self.collate_fn, self.smallest = collate_fn, smallest

    def __call__(self, samples: list) -> tuple[Any | None, list[InputError]]:
        readable = [sample for sample in samples if not isinstance(sample, InputError)]
        errors = [sample for sample in samples if isinstance(sample, InputError)]
        return (self.collate_fn(readable) if len(readable) >= self.smallest else None), errors
