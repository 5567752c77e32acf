"""How much a thing in a room is like a person with an instrument."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

HEADLESS_M = 0.5  # stands for how far below the top a head is that is not there
TYPICAL_WIDTH_M, TYPICAL_HEIGHT_M = 0.8, 1.6
GRAIN_M, SAMPLED = 0.15, 80  # about a voxel, where it is seen how the surface bends; voxels of a thing looked at
GRAINS = (0.028, 0.078)  # of persons: boxes and screens are flatter, leaves and books stand about
LAYER_M, POST_M = 0.1, 0.1  # the height of a layer, and the width of one that is a post
UPPER = 0.7  # of the height, above which a person has head and shoulders alone
# Fitted by scripts/fit_people.py to simulated scenes: of `measure`, and alone.
# Those of grain and thin layers, the last two but one, were set by hand from some twenty scenes.
WEIGHTS = np.array([0.892, 1.026, -2.184, 3.356, -3.579, 3.968, -4.738, -150, -1.5, -0.54])


def measure(voxels: np.ndarray, height: np.ndarray, head: float, head_height: float) -> np.ndarray:
    """What tells persons from furniture in the voxels `[V, 3]` of a thing, `[9]`, however dense they are.

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
            max(thin_layers(flat, height, top) - 1, 0),
        ]
    )


def thin_layers(flat: np.ndarray, height: np.ndarray, top: float) -> int:
    """How many layers of a thing at x, z `flat` `[V, 2]` are as thin as a stem or a post, of those that are seen."""
    layers = np.floor(height / LAYER_M).astype(int)
    count = 0
    for layer in range(1, int(UPPER * top / LAYER_M)):
        own = flat[layers == layer]
        count += len(own) >= 2 and np.hypot(*np.ptp(np.percentile(own, (5, 95), axis=0), axis=0)) < POST_M
    return int(count)


def grain(voxels: np.ndarray) -> float:
    """How little voxels `[V, 3]` are a flat surface: the share of their variance about a voxel that is across it."""
    tree, shares = cKDTree(voxels), []
    for near in tree.query_ball_point(voxels[:: max(1, len(voxels) // SAMPLED)], GRAIN_M):
        if len(near) >= 8:
            values = np.linalg.eigvalsh(np.cov(voxels[near].T))
            shares.append(max(values[0], 0) / max(values.sum(), 1e-12))
    return float(np.median(shares)) if shares else 0.0
