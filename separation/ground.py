"""What things stand on (a level or tilted floor, platforms, uneven ground) -> the height of points above it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_closing, binary_dilation, label, percentile_filter

from separation.surroundings import MARGIN_M, UPRIGHT, Plane, fit_plane

CELL_M = 0.1  # edge of a cell of a platform's map
LAYER_M = 0.04  # height of the layers in which platforms are looked for
PLATFORM_M2, MOST_PLATFORMS = 1.5, 3  # smallest platform, as smaller ones are stools and boxes; most platforms
STEP_M, HIGHEST_M = 0.08, 0.62  # heights of a platform above the floor: tables are higher
STEP_M2, STEP_LONG_M = 0.5, 2.0  # the smallest front of a platform
GROUND_CELL_M, GROUND_CELLS = 0.25, 5  # edge of a cell of uneven ground; the lowest of 5 by 5 cells counts
UNEVEN_M = 0.3  # how far ground is from its plane
# Shares of the points near the floor from which on it is uneven: beneath its plane, above it.
BENEATH_SHARE, UNEVEN_SHARE = 0.03, 0.15
GRASS_M = 0.07  # points up to this high above uneven ground belong to it


@dataclass(frozen=True)
class Grid:
    """Values `[X, Z]` over square cells of the floor, and none beyond them. low: `[2]`, the corner's x and z."""

    low: np.ndarray
    cell_m: float
    values: np.ndarray

    def at(self, xyz: np.ndarray, otherwise: float) -> np.ndarray:
        """The values `[P]` of the cells below points `[P, 3]`."""
        cells = np.floor((xyz[:, [0, 2]] - self.low) / self.cell_m).astype(int)
        inside = ((cells >= 0) & (cells < self.values.shape)).all(axis=1)
        found = np.full(len(xyz), otherwise, self.values.dtype)
        found[inside] = self.values[tuple(cells[inside].T)]
        return found


@dataclass(frozen=True)
class Ground:
    """A floor and everything else to stand on.

    platforms: each with the cells that it covers. relief: how much higher than the floor the ground is. steps: the
    fronts of platforms, and how high above the floor they end.
    """

    floor: Plane
    platforms: list[tuple[Plane, Grid]]
    relief: Grid | None
    steps: list[tuple[Plane, float]]

    def height(self, xyz: np.ndarray) -> np.ndarray:
        """Metres `[P]` from points `[P, 3]` down to the floor, platform or ground below them."""
        height = self.floor.height(xyz)
        if self.relief is not None:
            height = height - self.relief.at(xyz, 0.0)
        for plane, cells in self.platforms:
            is_over = cells.at(xyz, False)
            height = np.where(is_over, plane.height(xyz), height)
        return height

    def holds(self, xyz: np.ndarray) -> np.ndarray:
        """Which of points `[P, 3]` belong to the ground or lie below it, with as little margin as the points' noise
        allows.
        """
        held = self.floor.holds(xyz) if self.relief is None else self.height(xyz) <= GRASS_M
        for plane, cells in self.platforms:
            held |= cells.at(xyz, False) & plane.holds(xyz)
        return held | self._in_steps(xyz)

    def covers(self, xyz: np.ndarray) -> np.ndarray:
        """Which of points `[P, 3]` may belong to the ground."""
        return (self.height(xyz) <= (MARGIN_M if self.relief is None else GRASS_M)) | self._in_steps(xyz)

    def _in_steps(self, xyz: np.ndarray) -> np.ndarray:
        found = np.zeros(len(xyz), bool)
        for plane, top in self.steps:
            found |= (abs(plane.height(xyz)) <= MARGIN_M) & (self.floor.height(xyz) <= top)
        return found

    def below(self, x: float, z: float) -> float:
        """The y of the ground at a place."""
        place = np.array([[x, 0.0, z]])
        for plane, cells in self.platforms:
            if cells.at(place, False)[0]:
                return plane.below(x, z)
        return self.floor.below(x, z) + (float(self.relief.at(place, 0.0)[0]) if self.relief is not None else 0.0)


def find_ground(voxels: np.ndarray, floor: Plane) -> Ground:
    """Platforms and relief found in voxels `[V, 3]`, in addition to the `floor`."""
    height = floor.height(voxels)
    low = abs(height) < UNEVEN_M
    if low.any() and (height[low] < -MARGIN_M).mean() > BENEATH_SHARE:  # no floor has anything beneath
        return Ground(floor, [], _relief(voxels[low], height[low]), [])
    platforms, steps = _platforms(voxels, height, floor), _steps(voxels, height, floor)
    is_uneven = bool(low.any()) and not platforms + steps and (height[low] > MARGIN_M).mean() > UNEVEN_SHARE
    return Ground(floor, platforms, _relief(voxels[low], height[low]) if is_uneven else None, steps)


def _platforms(voxels: np.ndarray, height: np.ndarray, floor: Plane) -> list[tuple[Plane, Grid]]:
    """Large level pieces above the `floor` of voxels `[V, 3]` at `height` `[V]`, the largest first."""
    found: list[tuple[Plane, Grid]] = []
    free = (height > STEP_M) & (height < HIGHEST_M)
    while len(found) < MOST_PLATFORMS:
        counts = np.bincount((height[free] / LAYER_M).astype(int), minlength=2)
        level = (int(np.argmax(counts[:-1] + counts[1:])) + 1) * LAYER_M
        is_of = free & (abs(height - level) <= LAYER_M)
        cells = _largest_area(voxels[is_of]) if is_of.any() else None
        if cells is None or cells.values.sum() * CELL_M**2 < PLATFORM_M2:
            break
        level = float(np.median(height[is_of & cells.at(voxels, False)]))
        plane = Plane(floor.normal, floor.offset_m - level, 0.0)
        found.append((plane, Grid(cells.low, CELL_M, binary_dilation(cells.values, np.ones((3, 3))))))
        free &= ~found[-1][1].at(voxels, False)
    return found


def _steps(voxels: np.ndarray, height: np.ndarray, floor: Plane) -> list[tuple[Plane, float]]:
    """The upright fronts of platforms, and how high above the floor they end."""
    rest = voxels[(height > STEP_M) & (height < HIGHEST_M)]
    found = []
    for _ in range(MOST_PLATFORMS):
        plane = fit_plane(rest)
        if plane is None or plane.area_m2 < STEP_M2:
            break
        is_of = abs(plane.height(rest)) <= MARGIN_M
        along = np.cross(floor.normal, plane.normal)
        places = np.floor(rest[is_of] @ along / CELL_M).astype(int)
        top = float(np.percentile(floor.height(rest[is_of]), 98)) + MARGIN_M
        above = (abs(plane.height(voxels)) <= MARGIN_M) & (height > top) & (height < top + HIGHEST_M)
        length = len(np.unique(places)) * CELL_M
        is_free = len(np.unique(np.floor(voxels[above] @ along / CELL_M))) * CELL_M < length / 2
        if abs(plane.normal @ floor.normal) < UPRIGHT and length >= STEP_LONG_M and is_free:
            found.append((plane, top))
        rest = rest[~is_of]
    return found


def _largest_area(xyz: np.ndarray) -> Grid:
    """The cells of the largest connected area below points `[P, 3]`."""
    low = xyz[:, [0, 2]].min(axis=0) - 3 * CELL_M
    cells = np.floor((xyz[:, [0, 2]] - low) / CELL_M).astype(int)
    mask = np.zeros(cells.max(axis=0) + 4, bool)
    mask[tuple(cells.T)] = True
    labels, count = label(binary_closing(mask, np.ones((3, 3))))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    return Grid(low, CELL_M, labels == 1 + np.argmax(sizes[1:]))


def _relief(xyz: np.ndarray, height: np.ndarray) -> Grid:
    """The height of the ground in each cell: a low quantile of the lowest points of the cells around it."""
    low = xyz[:, [0, 2]].min(axis=0)
    cells = np.floor((xyz[:, [0, 2]] - low) / GROUND_CELL_M).astype(int)
    lowest = np.full(cells.max(axis=0) + 1, np.nan)
    order = np.lexsort((height, cells[:, 1], cells[:, 0]))
    starts = np.flatnonzero(np.any(np.diff(cells[order], axis=0, prepend=-1), axis=1))
    counts = np.diff(np.append(starts, len(order)))
    lowest[tuple(cells[order[starts]].T)] = height[order[starts + counts // 5]]  # a fifth may be noise
    lowest[np.isnan(lowest)] = np.nanmedian(lowest)
    return Grid(low, GROUND_CELL_M, percentile_filter(lowest, 40, GROUND_CELLS - 2))
