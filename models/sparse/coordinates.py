"""Coordinate maps: which voxels a batch occupies at one tensor stride, and how to find them.

A voxel is `(b, x, y, z)`: its cloud in the batch and its corner in units of the finest voxel. At tensor stride
t all x, y, z are multiples of t. Within a map a voxel has one integer key,

    key = ((b * X + x') * Y + y') * Z + z',    (x', y', z') = (x, y, z) / t - origin[b],

where `origin[b]` lies MARGIN cells below the cloud's smallest coordinates, and X, Y, Z hold the largest cloud of
the batch with as much margin above. Keys are linear: the key of a neighbour is the voxel's key plus a number
that depends on the offset alone, and the margin keeps neighbours of border voxels from wrapping around.

Clouds belong to groups, `group_size` consecutive ones each, which batch normalisation keeps apart (see `Groups`).
"""

from __future__ import annotations

from functools import cache, cached_property

import torch
from torch import Tensor

from models.sparse.groups import Groups
from models.sparse.launches import is_launch_bound

MARGIN = 5  # cells kept free around every cloud: enough for kernels up to 5^3 at any stride up to 4
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
MAX_COORDINATE = 2**29  # a cloud then spans less than 2**31 voxels: what is computed of coordinates fits int32
MAX_CELLS = 2**62
MAX_TABLE_CELLS = 2**25  # a larger box is searched by bisection: 128 MiB of table at most
MAX_TABLE_CELLS_OF_GPU = 2**28  # 1 GiB: the clouds of a large batch


class CoordinateMap:
    """The voxels of a batch at one tensor stride, one row each.

    Args:
        lattice: `[V, 3]` int32, coordinates divided by the tensor stride.
        batch: `[V]` int64, the cloud of each voxel.
        origin: `[B, 3]` int32, lattice point of the corner cell of each cloud's box.
        shape: cells of the box along x, y, z, margins included.
        tensor_stride: the spacing of the lattice, in units of the finest voxel.
        group_size: clouds of a group, of which there are B / group_size.
        voxels_of_groups: how many voxels each group has, where it is known already.

    Attributes:
        table: the row of each cell, or the number of rows, `[cells]` int32; None until it is needed.
    """

    def __init__(
        self,
        lattice: Tensor,
        batch: Tensor,
        origin: Tensor,
        shape: tuple[int, int, int],
        tensor_stride: int,
        group_size: int,
        voxels_of_groups: list[int] | None = None,
    ):
        self.lattice, self.batch, self.origin, self.shape = lattice, batch, origin, shape
        self.tensor_stride, self.group_size = tensor_stride, group_size
        self._voxels_of_groups = voxels_of_groups
        self.table: Tensor | None = None
        self._sorted: tuple[Tensor, Tensor] | None = None

    @classmethod
    def from_coordinates(
        cls, coordinates: Tensor, group_size: int | None = None
    ) -> tuple[CoordinateMap, Tensor | None]:
        """The map at stride 1 of `coordinates [V, 4]` (batch first, integers), and the rows it took.

        Of rows that share a voxel the first is taken; those taken stay in order, `[V']`, or None for all of them.

        Args:
            group_size: clouds of a group; None for all of them.

        Raises:
            ValueError: no voxels, a cloud without voxels, a group that lacks clouds, or coordinates that cannot be
                numbered.
        """
        if coordinates.ndim != 2 or coordinates.shape[1] != 4 or coordinates.dtype not in INTEGERS:
            raise ValueError(
                f"coordinates: expected integers [V, 4], got {coordinates.dtype} {list(coordinates.shape)}"
            )
        if len(coordinates) == 0:
            raise ValueError("the batch holds no voxels at all")
        batch, lattice = coordinates[:, 0].long(), coordinates[:, 1:].long()
        # There are at most V clouds: sizes do not wait for their number, and the host asks the device only once.
        cloud = batch.clamp(0, len(batch) - 1)
        rows = cloud[:, None].expand(-1, 3)
        low = torch.zeros_like(lattice).scatter_reduce(0, rows, lattice, "amin", include_self=False)  # [V, 3]
        high = torch.zeros_like(lattice).scatter_reduce(0, rows, lattice, "amax", include_self=False)
        occupied = torch.zeros_like(cloud).scatter(0, cloud, 1)
        shape = (high - low).amax(0) + 1 + 2 * MARGIN
        origin = low - MARGIN
        order, is_first = first_of_each(_keys(lattice - origin[cloud], cloud, shape))
        summary = [batch.amin(), batch.amax(), occupied.sum(), is_first.sum(), lattice.amin(), lattice.amax(), *shape]
        first, last, clouds, voxels, lowest, highest, *cells = torch.stack([n.long() for n in summary]).tolist()
        if first < 0:
            raise ValueError(f"coordinates: batch index {first} is negative")
        if clouds != last + 1:
            empty = sorted(set(range(last + 1)) - set(batch.tolist()))
            raise ValueError(f"clouds without voxels in the batch: numbers {empty}")
        if group_size is not None and clouds % group_size:
            raise ValueError(
                f"a batch of {clouds} clouds makes no groups of {group_size}: those at the end have no voxels"
            )
        if lowest < -MAX_COORDINATE or highest > MAX_COORDINATE:
            raise ValueError(f"coordinates from {lowest} to {highest}: they must lie within +-{MAX_COORDINATE}")
        if clouds * cells[0] * cells[1] * cells[2] >= MAX_CELLS:
            raise ValueError(f"a batch of {clouds} clouds that span {cells} voxels cannot be numbered in 64 bits")
        finest = cls(lattice.int(), batch, origin[:clouds].int(), tuple(cells), 1, group_size or clouds)
        if voxels == len(coordinates):
            return finest, None
        taken = torch.empty_like(is_first).scatter(0, order, is_first).nonzero_static(size=voxels).squeeze(1)
        return finest.select(taken), taken

    @property
    def coordinates(self) -> Tensor:
        """`[V, 4]` int32: batch, x, y, z in units of the finest voxel."""
        return torch.cat([self.batch[:, None].int(), self.lattice * self.tensor_stride], dim=1)

    @property
    def batch_size(self) -> int:
        return len(self.origin)

    @property
    def num_groups(self) -> int:
        return self.batch_size // self.group_size

    @cached_property
    def groups(self) -> Groups:
        """Which voxels belong to which group of clouds."""
        return Groups(self.batch, self.batch_size, self.group_size, self._voxels_of_groups)

    @property
    def num_cells(self) -> int:
        """Cells of all boxes: keys count from 0 to here."""
        return self.batch_size * self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def fits_table(self) -> bool:
        """Whether a table of all cells, which answers at once, is small enough to be kept."""
        return self.num_cells <= (MAX_TABLE_CELLS_OF_GPU if is_launch_bound(self.batch.device) else MAX_TABLE_CELLS)

    def __len__(self) -> int:
        return len(self.batch)

    def key_of(self, lattice: Tensor, batch: Tensor) -> Tensor:
        """Keys `[...]` of lattice points `[..., 3]` of the clouds `batch [...]`: int32 where they fit, else int64."""
        cells = lattice - self.origin.index_select(-2, batch)
        return self._fitting(_along(cells, self.shape, start=batch))

    def key_step(self, offsets: Tensor) -> Tensor:
        """What lattice `offsets [K, 3]` (int64) add to a key: `[K]`, of the same type."""
        return self._fitting(_along(offsets, self.shape))

    def _fitting(self, keys: Tensor) -> Tensor:
        return keys.int() if self.num_cells < 2**31 else keys

    def coarser(self, ratios: tuple[int, ...]) -> list[CoordinateMap]:
        """The maps of the unique `floor(lattice / ratio)`, rows in the order of their keys; one wait for all ratios."""
        divisors = _on_device(ratios, self.batch.device)[:, None, None]
        lattice = self.lattice.div(divisors, rounding_mode="floor")  # [S, V, 3]
        origin = (self.origin + MARGIN).div(divisors, rounding_mode="floor") - MARGIN  # [S, B, 3]
        cells = lattice - origin.index_select(1, self.batch)
        order, is_first = first_of_each(self._fitting(_along(cells, self.shape, start=self.batch)))  # [S, V]
        group = self.batch[order].div(self.group_size, rounding_mode="floor")
        counts = torch.zeros_like(order[:, : self.num_groups]).scatter_add(1, group, is_first.long()).tolist()
        totals = [sum(sizes) for sizes in counts]
        at, place = is_first.nonzero_static(size=sum(totals)).unbind(1)  # of all maps, one after the other
        taken = order[at, place]
        lattices, batches = lattice[at, taken].split(totals), self.batch[taken].split(totals)
        maps = []
        for ratio, *voxels, sizes in zip(ratios, lattices, batches, origin.unbind(), counts, strict=True):
            shape = tuple((cells - 2 * MARGIN - 1) // ratio + 2 + 2 * MARGIN for cells in self.shape)
            maps.append(CoordinateMap(*voxels, shape, self.tensor_stride * ratio, self.group_size, sizes))
        return maps

    def select(self, rows: Tensor) -> CoordinateMap:
        """The map of some of the rows `[V']`, in their order."""
        box = (self.origin, self.shape, self.tensor_stride, self.group_size)
        return CoordinateMap(self.lattice[rows], self.batch[rows], *box)

    def find(self, keys: Tensor) -> Tensor:
        """The row of each key `[...]`, or the number of rows where no voxel is: `[...]` int32.

        A table of all cells answers at once while the box is small; bisection does where it is not.
        """
        if self.fits_table:
            if self.table is None:
                rows = torch.arange(len(self), dtype=torch.int32, device=keys.device)
                table = torch.full((self.num_cells,), len(self), dtype=torch.int32, device=keys.device)
                self.table = table.scatter_(0, self.key_of(self.lattice, self.batch).long(), rows)
            return self.table.index_select(0, keys.flatten()).view(keys.shape)
        if self._sorted is None:
            keys_in_order, rows_in_order = self.key_of(self.lattice, self.batch).sort()
            self._sorted = keys_in_order, rows_in_order.int()
        sorted_keys, rows = self._sorted
        place = torch.searchsorted(sorted_keys, keys).clamp_(max=len(self) - 1)
        return torch.where(sorted_keys[place] == keys, rows[place], len(self))


def _keys(cells: Tensor, batch: Tensor, shape: Tensor) -> Tensor:
    """Keys `[...]` of cells `[..., 3]` counted from the corners of their clouds' boxes."""
    x, y, z = cells.unbind(-1)
    return ((batch * shape[0] + x) * shape[1] + y) * shape[2] + z


def _along(cells: Tensor, shape: tuple[int, int, int], start: Tensor | None = None) -> Tensor:
    """Keys `[...]` as `_keys`, of a shape that the host knows, in fewer operations; `start` is the cloud of each cell.

    Without `start` what lattice offsets `[..., 3]` add to a key.
    """
    x, y, z = cells.unbind(-1)
    rows = x if start is None else torch.add(x, start, alpha=shape[0])
    return torch.add(z, torch.add(y, rows, alpha=shape[1]), alpha=shape[2])


@cache
def _on_device(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    """`[S]` int32, copied to a device once."""
    return torch.tensor(numbers, dtype=torch.int32, device=device)


def first_of_each(keys: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of `keys [..., V]` sorted by key, `[..., V]`, and which stand first among those of the same key."""
    if keys.ndim > 1 and len(keys) == 1:  # a CPU sorts `[V]` by digits, and `[1, V]` by comparing, which is slower
        return tuple(part[None] for part in first_of_each(keys[0]))
    keys_in_order, rows = keys.sort(stable=True)
    is_first = torch.ones_like(rows, dtype=torch.bool)
    torch.ne(keys_in_order[..., 1:], keys_in_order[..., :-1], out=is_first[..., 1:])
    return rows, is_first
