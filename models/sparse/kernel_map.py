"""Kernel maps: for every offset of a kernel, which input voxel meets which output voxel.

An output voxel u of a layer of stride s sees, at offset d of its kernel, the input voxel at `u + t * d` (t the
input's tensor stride), if there is one (Choy et al., 4D Spatio-Temporal ConvNets, CVPR 2019, eq. 3). Offsets are
centred for odd kernel sizes and count from zero for even ones, the first spatial axis fastest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from models.sparse.coordinates import MARGIN, CoordinateMap


@dataclass(frozen=True)
class Pairs:
    """M pairs of an input and an output row that meet, in the order of the offset at which they do.

    in_rows, out_rows: for each of the K offsets `[M_d]` int64; no row stands twice at one offset.
    """

    in_rows: tuple[Tensor, ...]
    out_rows: tuple[Tensor, ...]


class KernelMap:
    """Which of the `source` (input) and `target` (output) voxels meet under a cubic kernel of K offsets.

    Layers with the same geometry share one map. It is held in the form that a layer asks for: a table is best where
    rows are short, pairs where they are long.

    Raises:
        ValueError: a kernel that reaches farther than the margin around the clouds.
    """

    def __init__(self, source: CoordinateMap, target: CoordinateMap, kernel_size: int):
        self.source, self.target = source, target
        self.ratio = target.tensor_stride // source.tensor_stride
        if max(self.ratio - 1 + kernel_size // 2, kernel_size - 1) > MARGIN:
            raise ValueError(f"kernel size {kernel_size} at stride {self.ratio} reaches beyond {MARGIN} voxels")
        self.offsets = kernel_offsets(kernel_size, target.keys.device)  # [K, 3]
        self.is_partition = kernel_size == self.ratio and kernel_size % 2 == 0  # every input has one output
        # At stride 1 the middle offset of an odd kernel joins every voxel with itself.
        self.identity = len(self.offsets) // 2 if source is target and kernel_size % 2 else None

    @property
    def num_outputs(self) -> int:
        return len(self.target)

    @cached_property
    def _keys(self) -> tuple[Tensor, Tensor]:
        """Key of the input cell at the corner of every output voxel `[V_out]`, and what each offset adds `[K]`."""
        corner = self.source.key_of(self.target.lattice * self.ratio, self.target.batch)
        return corner, self.source.key_step(self.offsets)

    @cached_property
    def table(self) -> Tensor:
        """The input row at each offset of each output, -1 where there is none: `[V_out, K]` int32."""
        corner, step = self._keys
        return self.source.find(corner[:, None] + step)

    @cached_property
    def pairs(self) -> Pairs:
        """The same as pairs; the offset `identity`, if there is one, is left empty."""
        corner, step = self._keys
        table = self.source.find(step[:, None] + corner)  # [K, V_out]
        if self.identity is not None:
            table[self.identity] = -1
        offset, out_rows = (table >= 0).nonzero(as_tuple=True)  # [M], offset by offset
        in_rows = table[offset, out_rows].long()
        counts = torch.bincount(offset, minlength=len(step)).tolist()
        return Pairs(in_rows.split(counts), out_rows.split(counts))

    @cached_property
    def parents(self) -> Tensor:
        """The output row of every input, for an even kernel as large as its stride: `[V_in]` int64."""
        assert self.is_partition
        cell = self.source.lattice.div(self.ratio, rounding_mode="floor")
        return self.target.find(self.target.key_of(cell, self.source.batch)).long()


def kernel_offsets(kernel_size: int, device: torch.device | str = "cpu") -> Tensor:
    """Lattice offsets of a cubic kernel: `[kernel_size^3, 3]` int64, the first axis fastest."""
    steps = torch.arange(kernel_size, device=device)
    if kernel_size % 2:
        steps = steps - kernel_size // 2
    return torch.cartesian_prod(steps, steps, steps).flip(1)
