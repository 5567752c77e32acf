"""Batches in a fixed order, made by worker processes or in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from dataset.collate import collate
from utils.errors import InputError
from utils.seeding import generator


class EpochSampler(Sampler):
    """Keys (epoch, index): in a new order every epoch when training, else in the list's order, always epoch 0.

    Each pass of `period` indices is shuffled by itself: a list that is repeated in an epoch takes the memory of one
    pass, and every row comes once before any comes again.
    """

    def __init__(self, length: int, seed: int, shuffle: bool, period: int):
        self.length, self.seed, self.shuffle, self.period = length, seed, shuffle, period
        self.epoch = 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        if not self.shuffle:
            return ((0, index) for index in range(self.length))
        return self._shuffled(self.epoch)

    def _shuffled(self, epoch: int) -> Iterator[tuple[int, int]]:
        rng = generator(self.seed, epoch)
        for start in range(0, self.length, self.period):
            for index in rng.permutation(min(self.period, self.length - start)):
                yield epoch, start + int(index)


class BatchLoader:
    """Iterates over the batches of an epoch.

    Args:
        dataset: of keys (epoch, index).
        batch_size: mixtures in a batch; when training, the rest that fills none is left out.
        seed, shuffle: of the order; shuffled means training.
        period: samples after which the dataset's list starts over, each pass shuffled by itself; none: all of it.
        workers: processes; 0 loads in place.
        pin_memory: page-locked batches, for copies to a GPU that do not wait.
        collate_fn: samples -> batch; an `InputError` in a sample's place becomes the batch.

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
    ):
        self.sampler = EpochSampler(len(dataset), seed, shuffle, period or len(dataset))
        self.loader = DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=self.sampler,
            num_workers=workers,
            collate_fn=collate_fn,
            drop_last=shuffle and len(dataset) >= batch_size,
            pin_memory=pin_memory,
            generator=torch.Generator(),  # its draws seed workers; ours need none, the global one stays put
        )

    def __len__(self) -> int:
        return len(self.loader)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order and the random draws of the next pass."""
        self.sampler.epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        for batch in self.loader:
            if isinstance(batch, InputError):
                raise batch
            yield batch
