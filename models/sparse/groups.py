"""Groups of clouds: voxels that batch normalisation sees together, and apart from those of other groups."""

from __future__ import annotations

from functools import cache, cached_property
from typing import NamedTuple

import torch
from torch import Tensor


class Membership(NamedTuple):
    """Which of G groups each of V voxels belongs to, as matrices: products with them sum and spread without atomics.

    members: 1 where a voxel belongs to a group, else 0, `[V, G]`; times a row for each group it gives each voxel its
    group's. average: the transposed, divided by the group's voxels, `[G, V]`; times features it gives their means.
    count: voxels of each group, `[G, 1]`. correction: count / (count - 1), `[G, 1]`.
    """

    members: Tensor
    average: Tensor
    count: Tensor
    correction: Tensor


class Groups:
    """The groups of a batch of clouds, each of `group_size` consecutive ones.

    Args:
        batch: cloud of each voxel, `[V]` int64.
        batch_size: clouds in all.
        group_size: clouds of a group.
        voxels: how many each group has; None to count them.
    """

    def __init__(self, batch: Tensor, batch_size: int, group_size: int, voxels: list[int] | None = None):
        self.batch, self.group_size = batch, group_size
        self._numbers = _numbers(batch_size // group_size, batch.device)
        self._voxels = voxels
        self._membership: dict[torch.dtype, Membership] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    @cached_property
    def _is_member(self) -> Tensor:
        """`[V, G]` bool."""
        return self.batch.div(self.group_size, rounding_mode="floor")[:, None] == self._numbers

    @cached_property
    def voxels(self) -> list[int]:
        """How many voxels each group has."""
        return self._is_member.sum(dim=0).tolist() if self._voxels is None else self._voxels

    def membership(self, dtype: torch.dtype) -> Membership:
        """The matrices for features of this type."""
        if dtype not in self._membership:
            members = self._is_member.to(dtype)
            count = members.sum(dim=0)[:, None]
            self._membership[dtype] = Membership(members, members.T / count, count, count / (count - 1))
        return self._membership[dtype]


@cache
def _numbers(count: int, device: torch.device) -> Tensor:
    """`[count]` int64, made once."""
    return torch.arange(count, device=device)
