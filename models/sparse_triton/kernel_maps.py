"""Kernel maps by Triton: which input voxel each output voxel meets at each offset, in one launch."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from models.sparse.coordinates import CoordinateMap
from models.sparse_triton.launching import launch

PLACES = 256  # of a program


@triton.jit
def _key(x, y, z, cloud, origin, shape_x, shape_y, shape_z):
    x -= tl.load(origin + 3 * cloud)
    y -= tl.load(origin + 3 * cloud + 1)
    z -= tl.load(origin + 3 * cloud + 2)
    return ((cloud * shape_x + x) * shape_y + y) * shape_z + z


@triton.jit
def _number_cells(table, lattice, batch, origin, voxels, shape_x, shape_y, shape_z, BLOCK: tl.constexpr):
    v = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = v < voxels
    x, y, z = (
        tl.load(lattice + 3 * v, there, 0),
        tl.load(lattice + 3 * v + 1, there, 0),
        tl.load(lattice + 3 * v + 2, there, 0),
    )
    key = _key(x, y, z, tl.load(batch + v, there, 0), origin, shape_x, shape_y, shape_z)
    tl.store(table + key, v, there)


@triton.jit
def _find_rows(
    rows,
    table,
    lattice,
    batch,
    origin,
    outputs,
    shape_x,
    shape_y,
    shape_z,
    ratio,
    SIZE: tl.constexpr,
    OFFSETS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v, k = place // OFFSETS, place % OFFSETS
    there = v < outputs
    down = SIZE // 2 if SIZE % 2 else 0
    x = tl.load(lattice + 3 * v, there, 0) * ratio + k % SIZE - down
    y = tl.load(lattice + 3 * v + 1, there, 0) * ratio + k // SIZE % SIZE - down
    z = tl.load(lattice + 3 * v + 2, there, 0) * ratio + k // (SIZE * SIZE) - down
    key = _key(x, y, z, tl.load(batch + v, there, 0), origin, shape_x, shape_y, shape_z)
    tl.store(rows + place, tl.load(table + key, there, 0), there)


@triton.jit
def _turn_rows(back, rows, outputs, inputs, OFFSETS: tl.constexpr, BLOCK: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v, k = place // OFFSETS, place % OFFSETS
    row = tl.load(rows + place, v < outputs, inputs)
    tl.store(back + row * OFFSETS + k, v, row < inputs)


def find_rows(source: CoordinateMap, target: CoordinateMap, kernel_size: int) -> Tensor:
    """The row of `source` that each voxel of `target` meets at each offset, or their number: `[V_out, K]` int32."""
    if source.table is None:
        source.table = source.batch.new_full((source.num_cells,), len(source), dtype=torch.int32)
        box = (source.lattice, source.batch, source.origin, len(source), *source.shape)
        launch(_number_cells, (triton.cdiv(len(source), PLACES),), source.table, *box, BLOCK=PLACES)
    offsets = kernel_size**3
    rows = source.batch.new_empty((len(target), offsets), dtype=torch.int32)
    ratio = target.tensor_stride // source.tensor_stride
    box = (target.lattice, target.batch, source.origin, len(target), *source.shape, ratio)
    sizes = {"SIZE": kernel_size, "OFFSETS": offsets, "BLOCK": PLACES}
    launch(_find_rows, (triton.cdiv(rows.numel(), PLACES),), rows, source.table, *box, **sizes)
    return rows


def turn_rows(rows: Tensor, inputs: int) -> Tensor:
    """`rows [V_out, K]` the other way: the output that each of the inputs meets, or their number, `[V_in, K]` int32."""
    back = rows.new_full((inputs, rows.shape[1]), len(rows))
    grid = (triton.cdiv(rows.numel(), PLACES),)
    launch(_turn_rows, grid, back, rows, len(rows), inputs, OFFSETS=rows.shape[1], BLOCK=PLACES)
    return back
