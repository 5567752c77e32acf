"""How much a thing in a room is like a person with an instrument."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

NEAR_M = 0.09  # about a voxel, where it is seen whether the surface is flat
SAMPLED = 150  # voxels of a thing whose surface is looked at
FLAT = 0.01  # least share of the variance about a voxel of a plane
# Fitted by scripts/fit_people.py to simulated scenes: of `measure`, and alone.
WEIGHTS = np.array([0.861, -1.52, -4.89, 3.29, -2.13, 2.75, 0.468, -1.57, -10.4, 0.664, 0.523, -7, 12.8])


def measure(voxels: np.ndarray, height: np.ndarray, head: float, head_height: float) -> np.ndarray:
    """What tells persons from furniture in the voxels `[V, 3]` of a thing, `[12]`.

    Args:
        height: `[V]` above the floor.
        head: score of its best head, 0 if it has none. head_height: of that head above the floor.
    """
    flat = voxels[:, [0, 2]]
    axes = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)[2]
    low, high = np.percentile((flat - flat.mean(axis=0)) @ axes.T, (2, 98), axis=0)
    width, depth = high - low
    bottom, middle, top = np.percentile(height, (5, 50, 98))
    tree = cKDTree(voxels)
    sample = voxels[:: max(1, len(voxels) // SAMPLED)]
    shares = [_least_share(voxels[near]) for near in tree.query_ball_point(sample, NEAR_M) if len(near) >= 6]
    upper = height > 0.7 * top
    return np.array(
        [
            np.log(head + 0.02) - np.log(1.02 - head),
            max(top - head_height, 0) if head else 0.5,
            abs(width - 0.8),
            depth,
            abs(top - 1.6),
            bottom,
            middle / max(top, 0.1),
            np.log(len(voxels)),
            np.mean(np.array(shares) < FLAT) if shares else 0.0,
            np.median(shares) if shares else 0.0,
            np.ptp(np.percentile(flat[upper] @ axes[0], (5, 95))) if upper.any() else 0.0,
            upper.mean(),
        ]
    )


def _least_share(points: np.ndarray) -> float:
    """The share of the variance of points `[n, 3]` that is across them, 0 of a plane."""
    values = np.linalg.eigvalsh(np.cov(points.T))
    return float(max(values[0], 0) / max(values.sum(), 1e-12))
