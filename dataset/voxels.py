"""Point clouds -> the voxels that the vision net sees."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dataset.colours import full_scale, to_unit
from dataset.ply import vertex_fields
from dataset.point_transforms import PointAugmentation
from dataset.points import read_points
from dataset.settings import VoxelSettings
from utils.errors import InputError

MAX_COORDINATE = 2**16  # voxels from the origin on any axis: a batch of such clouds can still be numbered

Voxels = tuple[np.ndarray, np.ndarray]  # coordinates [V, 3] int32, features [V, 3] float32


def load_voxels(
    path: str,
    settings: VoxelSettings,
    augmentation: PointAugmentation | None = None,
    rng: np.random.Generator | None = None,
    read: Callable[[str], tuple[np.ndarray, np.ndarray | None]] = read_points,
) -> Voxels:
    """The voxels of a PLY file, which `read` reads: `read_points`, or the same of a cache; the rest as `make_voxels`.

    Raises:
        InputError: as `read` and `make_voxels`.
    """
    return make_voxels(path, *read(path), settings, augmentation, rng)


def make_voxels(
    name: str,
    xyz: np.ndarray,
    rgb: np.ndarray | None,
    settings: VoxelSettings,
    augmentation: PointAugmentation | None = None,
    rng: np.random.Generator | None = None,
) -> Voxels:
    """The voxels of points `[P, 3]` in metres and their colours `[P, 3]`.

    Args:
        name: of the cloud, for messages.
        rgb: in 0..1, or whole numbers up to the largest of their type.
        augmentation: moves the points and tints the colours; `rng` draws the noise of the colours.

    Raises:
        InputError: as `voxelise`, or colours that are asked for but missing or out of range.
    """
    if settings.colours and rgb is None:
        raise InputError(f"{name}: the cloud has no colours; use --rgbs_feature 0{_fields_told(name)}")
    try:
        scale = full_scale(rgb) if settings.colours else 1.0
        with np.errstate(over="ignore", invalid="ignore"):  # of points that `voxelise` refuses
            if augmentation is not None:
                xyz = augmentation.move(xyz)
            coordinates, features = voxelise(xyz, rgb if settings.colours else xyz, settings.size_m)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    if settings.colours:
        features = to_unit(features, scale)
        if augmentation is not None:
            features = augmentation.tint(features, rng)
    return coordinates, features


def _fields_told(path: str) -> str:
    """What the points of a PLY file have instead of colours; nothing if it is no such file."""
    try:
        return f" (its points have {' '.join(vertex_fields(path))})"
    except (OSError, ValueError):
        return ""


def voxelise(xyz: np.ndarray, features: np.ndarray, voxel_size_m: float) -> tuple[np.ndarray, np.ndarray]:
    """The occupied voxels of points `[P, 3]` with features `[P, 3]`.

    Returns:
        coordinates `[V, 3]` int32, `floor(xyz / voxel_size)`, each once and in order of x, y, z; features `[V, 3]`
        of the first point in each voxel, in their own type.

    Raises:
        InputError: points too far from the origin to be numbered.
    """
    cells = np.divide(xyz.T, voxel_size_m, dtype=np.float64)  # [3, P]
    np.floor(cells, out=cells)
    low, high = cells.min(axis=1, keepdims=True), cells.max(axis=1, keepdims=True)
    if not max(high.max(), -low.min()) <= MAX_COORDINATE:  # or NaN, of infinite points that were moved
        raise InputError(
            f"points up to {np.nanmax(np.abs(xyz)):.3g} m from the origin, more than {MAX_COORDINATE} voxels of "
            f"{voxel_size_m:g} m: are the clouds in metres?"
        )
    # Numbers of 16 bits are sorted by radix, several times faster; only voxels 2**16 apart on an axis need more.
    numbers = (cells - low).astype(np.uint16 if (high - low).max() < 2**16 else np.uint32)
    order = np.lexsort(numbers[::-1])  # stable: the first point of a voxel comes first
    numbers = numbers.take(order, axis=1)
    is_first = np.ones(len(order), dtype=bool)
    np.any(numbers[:, 1:] != numbers[:, :-1], axis=0, out=is_first[1:])
    first = order.compress(is_first)
    coordinates, kept = (rows.take(first, axis=1).T for rows in (cells, features.T))
    return np.ascontiguousarray(coordinates, dtype=np.int32), np.ascontiguousarray(kept)
