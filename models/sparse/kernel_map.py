"""Kernel maps: for every offset of a kernel, which input voxel meets which output voxel.

An output voxel u of a layer of stride s sees, at offset d of its kernel, the input voxel at `u + t * d` (t the
input's tensor stride), if there is one (Choy et al., 4D Spatio-Temporal ConvNets, CVPR 2019, eq. 3). Offsets are
centred for odd kernel sizes and count from zero for even ones, the first spatial axis fastest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.sparse.coordinates import MARGIN, CoordinateMap


@dataclass(frozen=True)
class KernelMap:
    """M pairs of an input and an output row, grouped by offset.

    in_rows, out_rows: `[M]` int64. counts: pairs of each of the K offsets, M in all.
    """

    in_rows: Tensor
    out_rows: Tensor
    counts: list[int]
    num_outputs: int

    @property
    def kernel_volume(self) -> int:
        return len(self.counts)


def kernel_offsets(kernel_size: int, device: torch.device | str = "cpu") -> Tensor:
    """Lattice offsets of a cubic kernel: `[kernel_size^3, 3]` int64, the first axis fastest."""
    steps = torch.arange(kernel_size, device=device)
    if kernel_size % 2:
        steps = steps - kernel_size // 2
    return torch.cartesian_prod(steps, steps, steps).flip(1)


def build_kernel_map(source: CoordinateMap, target: CoordinateMap, kernel_size: int) -> KernelMap:
    """Pairs of `source` (input) and `target` (output) voxels that meet under a cubic kernel.

    Raises:
        ValueError: a kernel that reaches farther than the margin around the clouds.
    """
    ratio = target.tensor_stride // source.tensor_stride
    if max(ratio - 1 + kernel_size // 2, kernel_size - 1) > MARGIN:
        raise ValueError(f"kernel size {kernel_size} at stride {ratio} reaches beyond {MARGIN} voxels")
    centre = source.key_of(target.lattice * ratio, target.batch)  # [V_out]
    step = source.key_step(kernel_offsets(kernel_size, centre.device))  # [K]
    in_rows = source.find(step[:, None] + centre)  # [K, V_out]
    offset, out_rows = (in_rows >= 0).nonzero(as_tuple=True)  # [M], in the order of the offsets
    counts = torch.bincount(offset, minlength=len(step)).tolist()
    return KernelMap(in_rows[offset, out_rows], out_rows, counts, len(target))
