"""How kernels are started, and how large their tiles are."""

from __future__ import annotations

from collections.abc import Callable

import triton

BLOCK = 64  # voxels, and channels, of a tile
FEWEST = 16  # channels of a tile: tensor cores multiply no smaller ones


def launch(kernel: Callable, grid: tuple[int, ...], *arguments, **constants) -> None:
    """Starts a kernel; every launch goes through here."""
    kernel[grid](*arguments, **constants)


def tile_of(channels: int) -> int:
    """How many of the channels a tile takes: a power of two."""
    return min(BLOCK, max(FEWEST, triton.next_power_of_2(channels)))
