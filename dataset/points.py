"""Point clouds: PLY files -> points and colours -> voxels."""

from __future__ import annotations

import os

import numpy as np
from plyfile import PlyData, PlyParseError

from dataset.point_transforms import PointAugmentation
from utils.errors import InputError

MAX_COORDINATE = 2**16  # voxels from the origin on any axis: a batch of such clouds can still be numbered


def read_cloud(path: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Points `[P, 3]` in metres and colours `[P, 3]` in 0..1 (None if the file has none), float32.

    ASCII and binary PLY of either byte order, float or double, with any further properties. Points with NaN or
    infinite values, as depth cameras write for missing pixels, are left out.

    Raises:
        InputError: the file is missing, truncated or not PLY, or holds no points.
    """
    try:
        vertices = PlyData.read(path, mmap="c")["vertex"].data
        xyz = np.stack([vertices[axis] for axis in "xyz"], axis=1).astype(np.float32)
        names = vertices.dtype.names
        rgb = None
        if {"red", "green", "blue"} <= set(names):
            rgb = np.stack([vertices[channel] for channel in ("red", "green", "blue")], axis=1)
            full_scale = np.iinfo(rgb.dtype).max if rgb.dtype.kind in "iu" else 1.0
            rgb = rgb.astype(np.float32) / np.float32(full_scale)
    except (PlyParseError, OSError, KeyError, ValueError, MemoryError) as error:
        reason = "no such file" if not os.path.isfile(path) else str(error) or type(error).__name__
        raise InputError(f"{path}: cannot be read as a PLY point cloud ({reason})") from error
    finite = np.isfinite(xyz if rgb is None else np.hstack([xyz, rgb])).all(axis=1)
    if not finite.all():
        xyz, rgb = xyz[finite], None if rgb is None else rgb[finite]
    if not len(xyz):
        raise InputError(f"{path}: the cloud holds no points")
    return xyz, rgb


def load_voxels(
    path: str,
    voxel_size_m: float,
    rgbs_feature: bool,
    augmentation: PointAugmentation | None,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """The voxels of a PLY file, augmented if asked: coordinates `[V, 3]` int32, features `[V, 3]` float32.

    Features are the colours, or the points themselves. `rng` draws the noise of colours.

    Raises:
        InputError: as `read_cloud` and `voxelise`, or colours that are asked for but missing.
    """
    xyz, rgb = read_cloud(path)
    if rgbs_feature and rgb is None:
        raise InputError(f"{path}: the cloud has no colours; use --rgbs_feature 0")
    if augmentation is not None:
        xyz = augmentation.move(xyz)
        if rgbs_feature:
            rgb = augmentation.tint(rgb, rng)
    try:
        return voxelise(xyz, rgb if rgbs_feature else xyz, voxel_size_m)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def voxelise(xyz: np.ndarray, features: np.ndarray, voxel_size_m: float) -> tuple[np.ndarray, np.ndarray]:
    """The occupied voxels of points `[P, 3]` with features `[P, 3]`.

    Returns:
        coordinates `[V, 3]` int32, `floor(xyz / voxel_size)`, each once; features `[V, 3]` float32 of the first
        point in each voxel.

    Raises:
        InputError: points too far from the origin to be numbered.
    """
    cells = np.floor(xyz.astype(np.float64) / voxel_size_m)
    if np.abs(cells).max() > MAX_COORDINATE:
        farthest = np.abs(xyz).max()
        raise InputError(f"points up to {farthest:.3g} m from the origin: are the clouds in metres?")
    cells = cells.astype(np.int64)
    low = cells.min(axis=0)
    extent = cells.max(axis=0) - low + 1
    keys = ((cells[:, 0] - low[0]) * extent[1] + (cells[:, 1] - low[1])) * extent[2] + (cells[:, 2] - low[2])
    first = np.unique(keys, return_index=True)[1]
    return cells[first].astype(np.int32), features[first].astype(np.float32)
