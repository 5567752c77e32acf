"""Samples -> one batch of tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from dataset.music import Sample, SourceDraw
from dataset.voxels import Voxels
from utils.host import to_device


@dataclass(frozen=True)
class Batch:
    """B mixtures of N sources with K frames each.

    sources: `[N, B, L]`, whose sum is the `mixture`. clouds: of all sources, coordinates `[V, 4]` int32, the first
    column `(n * K + k) * B + b`, and features `[V, 3]`; or, of samples with labels, these alone: `[N * B]` int64.
    indices: `[B]` numbers in the epoch. draws: what each mixture was made of. absent: as `clouds`, but of one
    instrument that does not play; or None.
    """

    sources: Tensor
    clouds: tuple[Tensor, ...]
    indices: list[int]
    draws: list[list[SourceDraw]]
    absent: tuple[Tensor, ...] | None = None

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def mixture(self) -> Tensor:
        """`[B, L]`, on the device of the sources."""
        return self.sources.sum(dim=0)

    def paths(self) -> list[str]:
        """The recordings and clouds that were read for it."""
        draws = [draw for sample in self.draws for draw in sample]
        clouds = [draw.row.frame_path(frame) for draw in draws for frame in draw.frames]
        return list(dict.fromkeys([draw.row.audio_path for draw in draws] + clouds))

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return self._with_tensors(lambda tensors: to_device(tensors, device))

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory; called by PyTorch's loader."""
        return self._with_tensors(lambda tensors: tuple(tensor.pin_memory() for tensor in tensors))

    def _with_tensors(self, change: Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]) -> Batch:
        playing = len(self.clouds)
        sources, *seen = change((self.sources, *self.clouds, *(self.absent or ())))
        absent = None if self.absent is None else tuple(seen[playing:])
        return replace(self, sources=sources, clouds=tuple(seen[:playing]), absent=absent)


def collate(samples: list[Sample]) -> Batch:
    """Joins samples."""
    sources = torch.from_numpy(np.stack([sample.waves for sample in samples], axis=1))  # [N, B, L]
    playing, seen = len(sources), len(samples[0].labels or samples[0].clouds)
    return Batch(
        sources=sources,
        clouds=collate_seen(samples, range(playing)),
        absent=collate_seen(samples, range(playing, seen)) if seen > playing else None,
        indices=[sample.index for sample in samples],
        draws=[sample.draws for sample in samples],
    )


def collate_seen(samples: list[Sample], sources: range) -> tuple[Tensor, ...]:
    """What the vision net takes of some of the sources, as in `Batch.clouds`: their clouds or labels."""
    if samples[0].labels is not None:
        return (torch.tensor([sample.labels[n] for n in sources for sample in samples]),)
    return collate_frames([[sample.clouds[n] for sample in samples] for n in sources])


def collate_frames(sources: list[list[list[Voxels]]]) -> tuple[Tensor, Tensor]:
    """K clouds of each of N sources in each of B mixtures, `sources[n][b][k]`, as one sparse batch.

    Returns:
        coordinates `[V, 4]`, the first column `(n * K + k) * B + b`, and features `[V, 3]`.
    """
    frames = range(len(sources[0][0]))
    return collate_clouds([mixture[k] for source in sources for k in frames for mixture in source])


def collate_clouds(clouds: list[Voxels]) -> tuple[Tensor, Tensor]:
    """Voxels of several clouds as one sparse batch: coordinates `[V, 4]` (cloud first), features `[V, 3]`."""
    coordinates = [np.pad(xyz, ((0, 0), (1, 0)), constant_values=n) for n, (xyz, _) in enumerate(clouds)]
    features = [feature for _, feature in clouds]
    return torch.from_numpy(np.concatenate(coordinates)), torch.from_numpy(np.concatenate(features))
