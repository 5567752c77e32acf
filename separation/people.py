"""How much a thing in a room is like a person with an instrument."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

HEADLESS_M = 0.5  # stands for how far below the top a head is that is not there
TYPICAL_WIDTH_M, TYPICAL_HEIGHT_M = 0.8, 1.6
GRAIN_M, SAMPLED = 0.15, 80  # about a voxel, where it is seen how the surface bends; voxels of a thing looked at
GRAINS = (0.028, 0.078)  # of persons: boxes and screens are flatter, leaves and books stand about
UPPER = 0.7  # of the height, above which a person has head and shoulders alone
# Fitted by scripts/fit_people.py to simulated scenes: of `measure`, and alone.
# That of the grain, the last but one, was set by hand from ten scenes.
WEIGHTS = np.array([0.892, 1.026, -2.184, 3.356, -3.579, 3.968, -4.738, -150, -0.54])


def measure(voxels: np.ndarray, height: np.ndarray, head: float, head_height: float) -> np.ndarray:
    """What tells persons from furniture in the voxels `[V, 3]` of a thing, `[8]`, however dense they are.

    Args:
        height: `[V]` above the floor.
        head: score of its best head, 0 if it has none. head_height: of that head above the floor.
    """
    flat = voxels[:, [0, 2]] - voxels[:, [0, 2]].mean(axis=0)
    axes = np.linalg.svd(flat, full_matrices=False)[2]
    width, depth = np.ptp(np.percentile(flat @ axes.T, (2, 98), axis=0), axis=0)
    middle, top = np.percentile(height, (50, 98))
    bends = grain(voxels)
    return np.array(
        [
            np.log(head + 0.02) - np.log(1.02 - head),
            max(top - head_height, 0) if head else HEADLESS_M,
            abs(width - TYPICAL_WIDTH_M),
            depth,
            abs(top - TYPICAL_HEIGHT_M),
            middle / max(top, 0.1),
            (height > UPPER * top).mean(),
            max(GRAINS[0] - bends, bends - GRAINS[1], 0),
        ]
    )


def grain(voxels: np.ndarray) -> float:
    """How little voxels `[V, 3]` are a flat surface: the share of their variance about a voxel that is across it."""
    tree, shares = cKDTree(voxels), []
    for near in tree.query_ball_point(voxels[:: max(1, len(voxels) // SAMPLED)], GRAIN_M):
        if len(near) >= 8:
            values = np.linalg.eigvalsh(np.cov(voxels[near].T))
            shares.append(max(values[0], 0) / max(values.sum(), 1e-12))
    return float(np.median(shares)) if shares else 0.0
