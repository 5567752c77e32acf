"""Kernel maps: for every offset of a kernel, which input voxel meets which output voxel.

An output voxel u of a layer of stride s sees, at offset d of its kernel, the input voxel at `u + t * d` (t the
input's tensor stride), if there is one (Choy et al., 4D Spatio-Temporal ConvNets, CVPR 2019, eq. 3). Offsets are
centred for odd kernel sizes and count from zero for even ones, the first spatial axis fastest.
"""

from __future__ import annotations

from functools import cache, cached_property
from itertools import accumulate
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from models.sparse.coordinates import MARGIN, CoordinateMap
from models.sparse.launches import is_launch_bound

FOUND_AT_ONCE = 2**20  # rows looked for at a time on a CPU: they should stay in cache


class Pairs(NamedTuple):
    """M pairs of an input and an output row that meet, in the order of the offset at which they do.

    in_rows, out_rows: `[M]` int64; no row stands twice at one offset. counts: pairs at each of the K offsets.
    """

    in_rows: Tensor
    out_rows: Tensor
    counts: list[int]


class KernelMap:
    """Which of the `source` (input) and `target` (output) voxels meet under a cubic kernel of K offsets.

    Layers with the same geometry share one map. It is held in the form that a layer asks for: rows for every offset,
    or pairs of those that meet.

    Args:
        source, target: coordinate maps.
        kernel_size: offsets along each axis.
        kernels: a package of kernels that take the place of PyTorch's operations, as `models.sparse_triton`.

    Raises:
        ValueError: a kernel that reaches farther than the margin around the clouds.
    """

    def __init__(
        self, source: CoordinateMap, target: CoordinateMap, kernel_size: int, kernels: ModuleType | None = None
    ):
        self.source, self.target, self.kernel_size, self.kernels = source, target, kernel_size, kernels
        self.ratio = target.tensor_stride // source.tensor_stride
        # A target cell lies up to ratio - 1 source cells below its voxels; offsets reach down from it, and up.
        down, up = (kernel_size // 2, kernel_size // 2) if kernel_size % 2 else (0, kernel_size - 1)
        if max(self.ratio - 1 + down, up) > MARGIN:
            raise ValueError(f"kernel size {kernel_size} at stride {self.ratio} reaches beyond {MARGIN} voxels")
        self.offsets = kernel_offsets(kernel_size, target.batch.device)  # [K, 3]
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
    def rows(self) -> Tensor:
        """The input row that each output meets at each offset, V_in where it meets none: `[V_out, K]` int32."""
        if self.kernels and self.source.fits_table:
            return self.kernels.find_rows(self.source, self.target, self.kernel_size)
        corner, step = self._keys
        if is_launch_bound(corner.device):
            return self.source.find(corner[:, None] + step)
        parts = corner.split(max(1, FOUND_AT_ONCE // len(step)))
        return torch.cat([self.source.find(part[:, None] + step) for part in parts])

    @cached_property
    def rows_back(self) -> Tensor:
        """The output row that each input meets at each offset, V_out where it meets none: `[V_in, K]` int."""
        if self.identity is not None:
            return self.rows.flip(1)  # what u meets at d meets u at -d
        rows = self.rows
        if self.kernels:
            return self.kernels.turn_rows(rows.int(), len(self.source))
        outputs = torch.arange(self.num_outputs, dtype=rows.dtype, device=rows.device)[:, None]
        back = rows.new_full((len(self.source) + 1, rows.shape[1]), self.num_outputs)
        return back.scatter_(0, rows.long(), outputs.expand_as(rows))[:-1]  # the last row takes those that meet none

    @cached_property
    def pairs(self) -> Pairs:
        """All that meet, as pairs; the offset `identity`, if there is one, is left empty."""
        corner, step = self._keys
        table = self.source.find(step[:, None] + corner)  # [K, V_out]
        met = table < len(self.source)
        if self.identity is not None:
            met[self.identity] = False
        counts = met.sum(dim=1).tolist()
        offset, out_rows = met.nonzero_static(size=sum(counts)).unbind(1)  # [M], offset by offset
        in_rows = table[offset, out_rows].long()
        return Pairs(in_rows, out_rows.contiguous(), counts)

    @cached_property
    def padded_pairs(self) -> tuple[Tensor, Tensor]:
        """The pairs as input and output rows `[K, M]`; short lists are padded with the row after the last voxel."""
        in_rows, out_rows, counts = self.pairs
        longest, starts = max(counts), list(accumulate(counts, initial=0))
        # Offset d's pair m stands at d * longest + m, in the lists one after the other at starts[d] + m.
        shift = [d * longest - start for d, start in enumerate(starts[:-1])]
        table = torch.tensor([shift, counts], device=in_rows.device)
        place = torch.arange(len(in_rows), device=in_rows.device)
        place += table[0].repeat_interleave(table[1], output_size=len(in_rows))
        return tuple(
            rows.new_full((len(counts) * longest,), fill).scatter_(0, place, rows).view(len(counts), longest)
            for rows, fill in ((in_rows, len(self.source)), (out_rows, len(self.target)))
        )

    @cached_property
    def inputs_per_output(self) -> Tensor:
        """How many inputs each output meets: `[V_out]` int64."""
        if self.is_partition and not is_launch_bound(self.target.batch.device):
            return torch.bincount(self.parents, minlength=self.num_outputs)
        return (self.rows < len(self.source)).sum(dim=1)

    @cached_property
    def parents(self) -> Tensor:
        """The output row of every input, for an even kernel as large as its stride: `[V_in]` int64."""
        assert self.is_partition
        cell = self.source.lattice.div(self.ratio, rounding_mode="floor")
        return self.target.find(self.target.key_of(cell, self.source.batch)).long()


@cache
def kernel_offsets(kernel_size: int, device: torch.device | str = "cpu") -> Tensor:
    """Lattice offsets of a cubic kernel: `[kernel_size^3, 3]` int64, the first axis fastest."""
    steps = torch.arange(kernel_size, device=device)
    if kernel_size % 2:
        steps = steps - kernel_size // 2
    return torch.cartesian_prod(steps, steps, steps).flip(1)
