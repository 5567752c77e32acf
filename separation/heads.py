"""Finds heads among the points of a scene: small round tops above wider shoulders, which furniture does not have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

from separation.logistic import Logistic

LOWEST_M, HIGHEST_M = 0.85, 2.3  # heights of the top of a head above the floor
CELL_M = 0.04  # edge of a cell of the map of heights in which tops are looked for
DEPTHS_M = 0.03 + 0.06 * np.arange(8)  # below the top, of the slices that are measured
SLICE_M = 0.035  # half their height
REACH_M = 0.42  # how far from the axis of the head shoulders are looked for
BESIDE_M = 0.10  # a width is measured in a strip that is twice as wide
BIN_M, FULL, GAP_BINS = 0.03, 2, 2  # of a strip; points in one that is not empty; how far to the next that is not
BINS = int(2 * REACH_M / BIN_M) + 1
DIRECTIONS = 8
TYPICAL_TOP_M, TYPICAL_HEAD_M, TYPICAL_SHOULDERS_M = 0.17, 0.20, 0.45  # widths
APART_M = 0.28  # between two heads
HEAD = Logistic.read(Path(__file__).with_name("heads.txt"))  # fitted by scripts/fit_people.py


@dataclass(frozen=True)
class Head:
    """place: `[3]` metres, of its top. score: 0..1, how much it resembles a head."""

    place: np.ndarray
    score: float


def find_heads(xyz: np.ndarray, height: np.ndarray) -> list[Head]:
    """Heads among points `[P, 3]` at `height` `[P]` above the ground, the best first."""
    found = [Head(place, HEAD(measures)) for place, measures in find_tops(xyz, height)]
    found.sort(key=lambda head: -head.score)
    chosen: list[Head] = []
    for head in found:
        if all(np.hypot(*(head.place - other.place)[[0, 2]]) > APART_M for other in chosen):
            chosen.append(head)
    return chosen


def find_tops(xyz: np.ndarray, height: np.ndarray) -> list[tuple[np.ndarray, dict[str, float]]]:
    """Possible heads among points `[P, 3]` at `height` `[P]`: places `[3]`, and the measures of `describe` for each."""
    kept = (height > LOWEST_M - DEPTHS_M[-1] - SLICE_M) & (height < HIGHEST_M)
    xyz, height = xyz[kept], height[kept]
    tops = _tops(xyz, height)
    if not len(tops):
        return []
    tree = cKDTree(xyz[:, [0, 2]])
    found = []
    for top in tops:
        near = np.array(tree.query_ball_point(xyz[top, [0, 2]], REACH_M + 0.1))
        measures = _measure(xyz[near], height[near], xyz[top], height[top])
        if measures is not None:
            found.append((xyz[top], measures))
    return found


def _tops(xyz: np.ndarray, height: np.ndarray) -> np.ndarray:
    """The numbers of the points that are the highest around them, and high enough."""
    if not len(xyz):
        return np.zeros(0, int)
    cells = np.floor((xyz[:, [0, 2]] - xyz[:, [0, 2]].min(axis=0)) / CELL_M).astype(int) + 2
    grid = np.full(cells.max(axis=0) + 3, -np.inf)
    order = np.argsort(height)
    grid[tuple(cells[order].T)] = height[order]
    which = np.zeros(grid.shape, int)
    which[tuple(cells[order].T)] = order
    highest = (grid == maximum_filter(grid, 5)) & (grid >= LOWEST_M)
    return which[highest]


def _measure(xyz: np.ndarray, height: np.ndarray, top: np.ndarray, top_height: float) -> dict[str, float] | None:
    depth = top_height - height
    flat = xyz[:, [0, 2]] - top[[0, 2]]
    for _ in range(2):
        core = (depth > -0.02) & (depth < 0.2) & (np.hypot(*flat.T) < 0.14)
        if core.sum() < 5:
            return None
        flat = flat - flat[core].mean(axis=0)
    return describe(profile(flat, depth))


def profile(flat: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """The width of what surrounds the axis at each of `DEPTHS_M` in each direction, `[8, D]`."""
    angles = np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    along = flat @ np.stack([np.cos(angles), np.sin(angles)])  # [P, D]
    across = flat @ np.stack([-np.sin(angles), np.cos(angles)])
    widths = np.zeros((len(DEPTHS_M), DIRECTIONS))
    for k, level in enumerate(DEPTHS_M):
        rows = abs(depth - level) < SLICE_M
        for d in range(DIRECTIONS if rows.any() else 0):
            widths[k, d] = _run(along[rows, d][abs(across[rows, d]) < BESIDE_M])
    return widths


def _run(places: np.ndarray) -> float:
    """The length of the run of places around 0 without a gap; single places, such as of torn edges, are not counted."""
    bins = np.floor((places[abs(places) < REACH_M] + REACH_M) / BIN_M).astype(int)
    is_full = np.bincount(bins, minlength=BINS) >= FULL
    middle = BINS // 2
    near = np.flatnonzero(is_full[middle - 2 : middle + 3])
    if not len(near):
        return 0.0
    first = last = middle - 2 + near[abs(near - 2).argmin()]
    while is_full[max(first - GAP_BINS, 0) : first].any():
        first -= 1
    while is_full[last + 1 : last + 1 + GAP_BINS].any():
        last += 1
    return (last - first + 1) * BIN_M


def describe(widths: np.ndarray) -> dict[str, float]:
    """Measures of the widths `[8, D]` of `profile` that distinguish a head above shoulders from other tops."""
    wide, usual = widths.max(axis=1), np.median(widths, axis=1)
    head, shoulders = wide[1:3].mean(), wide[4:].max()
    usual_head, usual_shoulders = usual[1:3].mean(), usual[4:].max()
    found = {
        "top": abs(wide[0] - TYPICAL_TOP_M),
        "head": abs(head - TYPICAL_HEAD_M),
        "usual head": abs(usual_head - TYPICAL_TOP_M),
        "neck": wide[3],
        "shoulders": shoulders,
        "shoulders unlike": abs(shoulders - TYPICAL_SHOULDERS_M),
        "usual shoulders": usual_shoulders,
        "wider": np.log((shoulders + 0.05) / (head + 0.05)),
        "usually wider": np.log((usual_shoulders + 0.05) / (usual_head + 0.05)),
        "layers": (wide[:6] > BIN_M).mean(),
    }
    return {name: float(value) for name, value in found.items()}
