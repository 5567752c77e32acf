"""The shape of a thing in numbers: how its surface bends, how wide it is at each height, its outline."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

RADII_M = (0.1, 0.2)  # about a voxel, where it is seen how the surface bends
SAMPLED, FEWEST = 400, 6  # voxels that are looked about, and how many there must be about one
UPRIGHT = 0.4  # sine of the steepest slope of a surface that counts as upright
SLOPES = (0.0, 0.1, 0.3, 0.6, 0.85, 1.01)  # limits of the shares of upright to level surface
SHARES = (15, 50, 85)  # percentiles
ZONES = 8  # zones of equal height
DEPTHS_M = (0.0, 0.1, 0.22, 0.35, 0.5, 0.7)  # limits of the layers below the top: head, neck, shoulders, chest
CELL_M = 0.06  # edge of a cell of the outline
VOXEL_M2 = 9e-4  # what a voxel covers


def describe(voxels: np.ndarray, height: np.ndarray) -> dict[str, float]:
    """The shape of voxels `[V, 3]`, 3 cm wide, at `height` `[V]` above the floor, independent of
    the viewing direction; V >= 1.
    """
    flat = voxels[:, [0, 2]] - voxels[:, [0, 2]].mean(axis=0)
    along = flat @ np.linalg.eigh(flat.T @ flat)[1][:, ::-1]  # [V, 2], along the longer and the shorter way
    top = max(float(np.percentile(height, 98.5)), 0.2)
    found = _size(along, height, top)
    for radius in RADII_M:
        found |= {f"{name} within {radius} m": value for name, value in bends(voxels, radius).items()}
    for k in range(ZONES):
        is_in = (height / top >= k / ZONES) & ((height / top < (k + 1) / ZONES) | (k == ZONES - 1))
        width, depth = _extent(along[is_in])
        beside = float(abs(np.median(along[is_in, 0]))) if is_in.any() else 0.0
        found |= {f"share of zone {k}": float(is_in.mean()), f"width of zone {k}": width}
        found |= {f"depth of zone {k}": depth, f"zone {k} beside the middle": beside}
    for low, high in zip(DEPTHS_M[:-1], DEPTHS_M[1:], strict=True):
        width, depth = _extent(along[(top - height >= low) & (top - height < high)])
        found |= {f"width {low} m below the top": width, f"depth {low} m below the top": depth}
    return found | _outline(along[:, 0], height)


def bends(voxels: np.ndarray, radius_m: float) -> dict[str, float]:
    """How the surface of voxels `[V, 3]` bends within a radius: boxes are flat, bodies are round, leaves are
    scattered.
    """
    tree = cKDTree(voxels)
    near = tree.query_ball_point(voxels[:: max(1, len(voxels) // SAMPLED)], radius_m)
    counts = np.array([len(one) for one in near])
    near, counts = [one for one in near if len(one) >= FEWEST], counts[counts >= FEWEST]
    if not len(counts):
        return dict.fromkeys(_BENDS, 0.0)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    places = voxels[np.concatenate(near)] - voxels.mean(axis=0)  # [M, 3]
    mean = np.add.reduceat(places, starts) / counts[:, None]
    squares = np.add.reduceat(places[:, :, None] * places[:, None, :], starts) / counts[:, None, None]
    values, vectors = np.linalg.eigh(squares - mean[:, :, None] * mean[:, None, :])  # ascending
    values = values.clip(0) / np.maximum(values.sum(axis=1, keepdims=True), 1e-12)
    normals = vectors[:, :, 0]
    slope = abs(normals[:, 1])
    upright = normals[slope < UPRIGHT]
    angle = np.arctan2(upright[:, 2], upright[:, 0])
    turned = [float(abs(np.exp(1j * m * angle).mean())) if len(angle) > 3 else 1.0 for m in (2, 4)]
    shares = np.histogram(slope, SLOPES)[0] / len(slope)
    across, along = np.percentile(values[:, 0], SHARES), np.percentile(values[:, 2] - values[:, 1], SHARES)
    dense = counts.mean() * VOXEL_M2 / radius_m**2
    return dict(zip(_BENDS, map(float, [*across, *along, *shares, *turned, dense]), strict=True))


_BENDS = [
    *(f"across the surface, percentile {share}" for share in SHARES),  # 0 of a plane, a third where there is none
    *(f"like a line, percentile {share}" for share in SHARES),
    *(f"share of slope {slope}" for slope in SLOPES[:-1]),
    *("upright surface one way", "upright surface two ways"),  # 1 of a screen; 1 of a box, 0 of a barrel
    "voxels",
]


def _size(along: np.ndarray, height: np.ndarray, top: float) -> dict[str, float]:
    width, depth = np.ptp(np.percentile(along, (2, 98), axis=0), axis=0)
    low, middle, high = np.percentile(height, (10, 50, 90)) / top
    return {
        "top": top,
        "width": float(width),
        "depth": float(depth),
        "voxels": float(np.log(len(height))),
        "covered": float(len(height) * VOXEL_M2 / (top * width + 0.01)),
        "a tenth below": float(low),
        "half below": float(middle),
        "nine tenths below": float(high),
    }


def _extent(along: np.ndarray) -> tuple[float, float]:
    """Width and depth without the outermost twentieth at either end; 0 for too few voxels."""
    if len(along) < 3:
        return 0.0, 0.0
    width, depth = np.ptp(np.percentile(along, (5, 95), axis=0), axis=0)
    return float(width), float(depth)


def _outline(across: np.ndarray, height: np.ndarray) -> dict[str, float]:
    """Measures of the outline seen from the front: its length compared with its area, and how much of its rows and
    columns it fills.
    """
    columns = ((across - across.min()) / CELL_M).astype(int) + 1
    rows = (height.clip(0) / CELL_M).astype(int) + 1
    cells = np.zeros((columns.max() + 2, rows.max() + 2), bool)
    cells[columns, rows] = True
    edge = (cells[1:] != cells[:-1]).sum() + (cells[:, 1:] != cells[:, :-1]).sum()
    full = cells.any(axis=1).sum() * cells.any(axis=0).sum()
    return {"edge": float(edge / np.sqrt(cells.sum())), "filled": float(cells.sum() / full)}
