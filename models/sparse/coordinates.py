"""Coordinate maps: which voxels a batch occupies at one tensor stride, and how to find them.

A voxel is `(b, x, y, z)`: its cloud in the batch and its corner in units of the finest voxel. At tensor stride
t all x, y, z are multiples of t. Within a map a voxel has one integer key,

    key = ((b * X + x') * Y + y') * Z + z',    (x', y', z') = (x, y, z) / t - origin[b],

where `origin[b]` lies MARGIN cells below the cloud's smallest coordinates, and X, Y, Z hold the largest cloud of
the batch with as much margin above. Keys are linear: the key of a neighbour is the voxel's key plus a number
that depends on the offset alone, and the margin keeps neighbours of border voxels from wrapping around.
"""

from __future__ import annotations

import torch
from torch import Tensor

MARGIN = 4  # cells kept free around every cloud: enough for kernels up to 5^3 at any stride up to 4
MAX_CELLS = 2**62
MAX_TABLE_CELLS = 2**25  # a larger box is searched by bisection: 128 MiB of table at most


class CoordinateMap:
    """The voxels of a batch at one tensor stride, one row each.

    Args:
        lattice: `[V, 3]` int64, coordinates divided by the tensor stride.
        batch: `[V]` int64, the cloud of each voxel.
        origin: `[B, 3]` int64, lattice point of the corner cell of each cloud's box.
        shape: cells of the box along x, y, z, margins included.
        tensor_stride: the spacing of the lattice, in units of the finest voxel.
    """

    def __init__(self, lattice: Tensor, batch: Tensor, origin: Tensor, shape: tuple[int, int, int], tensor_stride: int):
        self.lattice, self.batch, self.origin, self.shape = lattice, batch, origin, shape
        self.tensor_stride = tensor_stride
        self.keys = self.key_of(lattice, batch)  # [V]
        self._table: Tensor | None = None
        self._sorted: tuple[Tensor, Tensor] | None = None

    @classmethod
    def from_coordinates(cls, coordinates: Tensor) -> CoordinateMap:
        """The map at stride 1 of `coordinates [V, 4]` (batch first, integers), rows in the order given.

        Raises:
            ValueError: no voxels, a cloud without voxels, or clouds too far apart for 64-bit keys.
        """
        if coordinates.ndim != 2 or coordinates.shape[1] != 4 or coordinates.dtype.is_floating_point:
            raise ValueError(
                f"coordinates: expected integers [V, 4], got {coordinates.dtype} {list(coordinates.shape)}"
            )
        if len(coordinates) == 0:
            raise ValueError("the batch holds no voxels at all")
        batch, lattice = coordinates[:, 0].long(), coordinates[:, 1:].long()
        first, last = torch.stack([batch.min(), batch.max()]).tolist()
        if first < 0:
            raise ValueError(f"coordinates: batch index {first} is negative")
        rows = batch[:, None].expand(-1, 3)
        low = lattice.new_full((last + 1, 3), torch.iinfo(torch.int64).max)
        low = low.scatter_reduce(0, rows, lattice, "amin")  # [B, 3]
        high = lattice.new_full((last + 1, 3), torch.iinfo(torch.int64).min)
        high = high.scatter_reduce(0, rows, lattice, "amax")
        extent = high - low + 1  # a cloud without voxels wraps around to an extent of 2
        voxels = torch.bincount(batch, minlength=last + 1)
        summary = torch.cat([extent.amax(0), voxels.amin(0, keepdim=True)]).tolist()
        if summary[3] == 0:
            empty = (voxels == 0).nonzero().flatten().tolist()
            raise ValueError(f"clouds without voxels in the batch: numbers {empty}")
        shape = tuple(cells + 2 * MARGIN for cells in summary[:3])
        if (last + 1) * shape[0] * shape[1] * shape[2] >= MAX_CELLS:
            raise ValueError(f"a batch of {last + 1} clouds that span {shape} voxels cannot be numbered in 64 bits")
        return cls(lattice, batch, low - MARGIN, shape, tensor_stride=1)

    @property
    def coordinates(self) -> Tensor:
        """`[V, 4]` int32: batch, x, y, z in units of the finest voxel."""
        return torch.cat([self.batch[:, None], self.lattice * self.tensor_stride], dim=1).int()

    @property
    def batch_size(self) -> int:
        return len(self.origin)

    def __len__(self) -> int:
        return len(self.keys)

    def key_of(self, lattice: Tensor, batch: Tensor) -> Tensor:
        """Keys `[...]` of lattice points `[..., 3]` of the clouds `batch [...]`."""
        x, y, z = (lattice - self.origin[batch]).unbind(-1)
        return ((batch * self.shape[0] + x) * self.shape[1] + y) * self.shape[2] + z

    def key_step(self, offsets: Tensor) -> Tensor:
        """What lattice `offsets [K, 3]` add to a key: `[K]`."""
        return (offsets[:, 0] * self.shape[1] + offsets[:, 1]) * self.shape[2] + offsets[:, 2]

    def strided(self, ratio: int) -> CoordinateMap:
        """The map of the unique `floor(lattice / ratio)`, rows in the order of their keys."""
        origin = (self.origin + MARGIN).div(ratio, rounding_mode="floor") - MARGIN
        shape = tuple((cells - 2 * MARGIN - 1) // ratio + 2 + 2 * MARGIN for cells in self.shape)
        coarse = CoordinateMap(
            self.lattice.div(ratio, rounding_mode="floor"),
            self.batch,
            origin,
            shape,
            self.tensor_stride * ratio,
        )
        return coarse.select(unique_rows(coarse.keys))

    def select(self, rows: Tensor) -> CoordinateMap:
        """The map of some of the rows `[V']`, in their order."""
        return CoordinateMap(self.lattice[rows], self.batch[rows], self.origin, self.shape, self.tensor_stride)

    def find(self, keys: Tensor) -> Tensor:
        """The row of each key `[...]`, or -1 where no voxel is: `[...]` int32.

        A table of all cells answers at once while the box is small; bisection does where it is not.
        """
        cells = self.batch_size * self.shape[0] * self.shape[1] * self.shape[2]
        if cells <= MAX_TABLE_CELLS:
            if self._table is None:
                self._table = torch.full((cells,), -1, dtype=torch.int32, device=keys.device)
                self._table[self.keys] = torch.arange(len(self), dtype=torch.int32, device=keys.device)
            return self._table[keys]
        if self._sorted is None:
            keys_in_order, rows_in_order = self.keys.sort()
            self._sorted = keys_in_order, rows_in_order.int()
        sorted_keys, rows = self._sorted
        place = torch.searchsorted(sorted_keys, keys).clamp_(max=len(self) - 1)
        return torch.where(sorted_keys[place] == keys, rows[place], -1)


def unique_rows(keys: Tensor) -> Tensor:
    """The row at which each different key of `keys [V]` stands first, in the order of the keys: `[V']`."""
    unique, inverse = torch.unique(keys, return_inverse=True)
    rows = torch.arange(len(keys), device=keys.device)
    return rows.new_full(unique.shape, len(keys)).scatter_reduce(0, inverse, rows, "amin")
