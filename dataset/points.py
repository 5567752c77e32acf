"""Point clouds: PLY files <-> points and colours -> voxels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from plyfile import PlyParseError

from dataset.colours import find_colours, full_scale, to_unit
from dataset.ply import read_vertices, vertex_fields
from dataset.point_transforms import PointAugmentation
from utils.errors import InputError
from utils.files import words_of

MAX_COORDINATE = 2**16  # voxels from the origin on any axis: a batch of such clouds can still be numbered


@dataclass(frozen=True)
class RawCloud:
    """Points as a file has them, those with NaN or infinite values left out.

    xyz: `[P, 3]`, float32 or float64. rgb: `[P, 3]`, in the file's own numbers and type, or None. notes: what was taken
    where a file may be read in several ways.
    """

    xyz: np.ndarray
    rgb: np.ndarray | None
    notes: tuple[str, ...] = ()


def read_cloud(path: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Points `[P, 3]` in metres and colours `[P, 3]` in 0..1 (None if the file has none), float32.

    ASCII and binary PLY of either byte order, of any type of number, with any further properties. Points with NaN or
    infinite values, as depth cameras write for missing pixels, are left out.

    Raises:
        InputError: the file is missing, truncated or not PLY, holds no points, or its colours are out of range.
    """
    xyz, rgb = read_points(path)
    try:
        return xyz, None if rgb is None else to_unit(rgb)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_points(path: str) -> tuple[np.ndarray, np.ndarray | None]:
    """As `read_cloud`, but the colours have the numbers and the type of the file.

    Both arrays lie in memory axis by axis, `[3, P]`, which is how they are worked on fastest.

    Raises:
        InputError: as `read_cloud`, but for the colours.
    """
    cloud = read_ply(path)
    with np.errstate(over="ignore"):  # doubles beyond float32 become infinite, and are refused as too far
        return cloud.xyz.astype(np.float32, copy=False), cloud.rgb


def read_ply(path: str) -> RawCloud:
    """A PLY file in its own numbers; raises InputError as `read_points`."""
    try:
        vertices = read_vertices(path)
        fields = {name: vertices[name] for name in vertices.dtype.names}
        xyz = np.stack(find_axes(fields))  # [3, P]
        rgb, note = find_colours(fields)
    except (PlyParseError, OSError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise InputError(f"{path}: cannot be read as a PLY point cloud ({words_of(error)})") from error
    return whole_points(path, xyz, rgb, note)


def find_axes(fields: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The columns x, y, z; raises ValueError that tells the names there are."""
    by_name = {name.lower(): name for name in reversed(list(fields))}
    if not {"x", "y", "z"} <= set(by_name):
        raise ValueError(f"it has no x y z, but {' '.join(fields) or 'nothing'}")
    return [fields[by_name[axis]] for axis in "xyz"]


def whole_points(path: str, xyz: np.ndarray, rgb: np.ndarray | None, *notes: str) -> RawCloud:
    """The points of xyz `[3, P]` and rgb `[3, P]` whose numbers are finite; raises InputError if there are none."""
    xyz = xyz.astype(np.float32 if xyz.dtype.itemsize <= 4 and xyz.dtype.kind == "f" else np.float64, copy=False)
    finite = np.isfinite(xyz).all(axis=0)
    if rgb is not None and rgb.dtype.kind == "f":
        finite &= np.isfinite(rgb).all(axis=0)
    if not finite.all():
        xyz, rgb = xyz[:, finite], None if rgb is None else rgb[:, finite]
    if not xyz.size:
        raise InputError(f"{path}: the cloud holds no points")
    return RawCloud(xyz.T, None if rgb is None else rgb.T, tuple(note for note in notes if note))


def ply_bytes(xyz: np.ndarray, rgb: np.ndarray | None = None) -> bytes:
    """The binary PLY file of points `[P, 3]` in metres and colours `[P, 3]`, uint8 or in 0..1."""
    fields = [("xyz", "<f4", 3)] + ([] if rgb is None else [("rgb", "u1", 3)])
    vertices = np.empty(len(xyz), fields)
    vertices["xyz"] = xyz
    if rgb is not None:
        vertices["rgb"] = np.rint(to_unit(rgb) * 255)
    properties = [f"property float {axis}" for axis in "xyz"]
    properties += [] if rgb is None else [f"property uchar {channel}" for channel in ("red", "green", "blue")]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(xyz)}", *properties, "end_header", ""]
    return "\n".join(header).encode("ascii") + vertices.tobytes()


def load_voxels(
    path: str,
    voxel_size_m: float,
    rgbs_feature: bool,
    augmentation: PointAugmentation | None,
    rng: np.random.Generator,
    read: Callable[[str], tuple[np.ndarray, np.ndarray | None]] = read_points,
) -> tuple[np.ndarray, np.ndarray]:
    """The voxels of a PLY file, augmented if asked: coordinates `[V, 3]` int32, features `[V, 3]` float32.

    Features are the colours, or the points themselves. `rng` draws the noise of the colours that are kept. `read`
    is `read_points`, or the same of a cache.

    Raises:
        InputError: as `read` and `voxelise`, or colours that are asked for but missing or out of range.
    """
    xyz, rgb = read(path)
    if rgbs_feature and rgb is None:
        raise InputError(f"{path}: the cloud has no colours; use --rgbs_feature 0{_fields_told(path)}")
    try:
        scale = full_scale(rgb) if rgbs_feature else 1.0
        with np.errstate(over="ignore", invalid="ignore"):  # of points that `voxelise` refuses
            if augmentation is not None:
                xyz = augmentation.move(xyz)
            coordinates, features = voxelise(xyz, rgb if rgbs_feature else xyz, voxel_size_m)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if rgbs_feature:
        features = to_unit(features, scale)
        if augmentation is not None:
            features = augmentation.tint(features, rng)
    return coordinates, features


def _fields_told(path: str) -> str:
    """What the points of a PLY file have instead of colours."""
    try:
        return f" (its points have {' '.join(vertex_fields(path))})"
    except (OSError, ValueError):  # a mesh
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
