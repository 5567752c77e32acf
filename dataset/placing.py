"""Where a musician's cloud stands. The vision net's coarsest cells are as large as a person, so that it matters."""

from __future__ import annotations

import numpy as np

APART_M = 0.5  # farthest from the origin that the centre of a cloud may be and still count as standing there
LOWEST_M, HIGHEST_M = -0.3, 2.6  # limits of a musician on a floor at y = 0
ENDS = (0.5, 99.5)  # percentiles that are the ends of a cloud, without stray points


def shift_to_origin(xyz: np.ndarray) -> np.ndarray | None:
    """What takes a musician's points to where training clouds stand: above the origin, the floor at y = 0.

    Args:
        xyz: points `[P, 3]` in metres, Y up.

    Returns:
        `[3]` to add, or None for points that stand there already, as far as can be told.
    """
    x, z = xyz[:, [0, 2]].mean(axis=0, dtype=np.float64)
    low, high = np.percentile(xyz[:, 1], ENDS)
    shift = np.zeros(3)
    if np.hypot(x, z) > APART_M:
        shift[[0, 2]] = -x, -z
    if low < LOWEST_M or high > HIGHEST_M:
        shift[1] = -low
    return shift if shift.any() else None
