"""Point clouds: PLY files <-> points and colours -> voxels."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import numpy as np
from plyfile import PlyData, PlyParseError

from dataset.point_transforms import PointAugmentation
from utils.errors import InputError

MAX_COORDINATE = 2**16  # voxels from the origin on any axis: a batch of such clouds can still be numbered

PLY_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}
USUAL_HEADER = re.compile(
    rb"ply\nformat binary_(?P<order>little|big)_endian 1.0\n(?:(?:comment|obj_info)[^\n]*\n)*"
    rb"element vertex (?P<count>\d+)\n(?P<properties>(?:property (?:%s) \w+\n)+)end_header\n"
    % "|".join(PLY_TYPES).encode()
)


def read_cloud(path: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Points `[P, 3]` in metres and colours `[P, 3]` in 0..1 (None if the file has none), float32.

    ASCII and binary PLY of either byte order, float or double, with any further properties. Points with NaN or
    infinite values, as depth cameras write for missing pixels, are left out.

    Raises:
        InputError: the file is missing, truncated or not PLY, or holds no points.
    """
    xyz, rgb = read_points(path)
    return xyz, None if rgb is None else to_unit(rgb)


def read_points(path: str) -> tuple[np.ndarray, np.ndarray | None]:
    """As `read_cloud`, but the colours have the numbers and the type of the file.

    Both arrays lie in memory axis by axis, `[3, P]`, which is how they are worked on fastest.

    Raises:
        InputError: as `read_cloud`.
    """
    try:
        vertices = _read_vertices(path)
        with np.errstate(over="ignore"):  # doubles beyond float32 become infinite, and are refused as too far
            xyz = np.stack([vertices[axis].astype(np.float32) for axis in "xyz"])  # [3, P]
        rgb = None
        if {"red", "green", "blue"} <= set(vertices.dtype.names):
            rgb = np.stack([vertices[channel] for channel in ("red", "green", "blue")])
            rgb = rgb.astype(rgb.dtype.newbyteorder("="), copy=False)
        finite = np.isfinite(xyz).all(axis=0)
        if not finite.all():
            finite = np.logical_and.reduce([np.isfinite(vertices[axis]) for axis in "xyz"])
        if rgb is not None and rgb.dtype.kind == "f":
            finite &= np.isfinite(rgb).all(axis=0)
    except (PlyParseError, OSError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
        reason = "no such file" if not os.path.isfile(path) else str(error) or type(error).__name__
        raise InputError(f"{path}: cannot be read as a PLY point cloud ({reason})") from error
    if not finite.all():
        xyz, rgb = xyz[:, finite], None if rgb is None else rgb[:, finite]
    if not xyz.size:
        raise InputError(f"{path}: the cloud holds no points")
    return xyz.T, None if rgb is None else rgb.T


def _read_vertices(path: str) -> np.ndarray:
    """The vertices of a PLY file, a structured array `[P]`.

    plyfile goes through headers letter by letter, which takes longer than reading the points: the usual kind of file,
    binary and with plain vertices alone, is read here, every other by plyfile.
    """
    with open(path, "rb") as file:
        content = file.read()
    header = USUAL_HEADER.match(content)
    if header:
        words = header["properties"].decode().split()  # property, type, name, property ...
        order = "<" if header["order"] == b"little" else ">"
        fields = [(name, order + PLY_TYPES[kind]) for kind, name in zip(words[1::3], words[2::3], strict=True)]
        count, size = int(header["count"]), np.dtype(fields).itemsize
        if len(content) - header.end() >= count * size:
            return np.frombuffer(content, fields, count, header.end())
    return np.asarray(PlyData.read(path, mmap="c")["vertex"].data)


def to_unit(rgb: np.ndarray) -> np.ndarray:
    """Colours of any type in 0..1, float32: whole numbers are parts of their type's largest."""
    full_scale = np.iinfo(rgb.dtype).max if rgb.dtype.kind in "iu" else 1.0
    return rgb.astype(np.float32) / np.float32(full_scale)


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
        raise InputError(f"{path}: the cloud has no colours; use --rgbs_feature 0")
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # of points that `voxelise` refuses
            if augmentation is not None:
                xyz = augmentation.move(xyz)
            coordinates, features = voxelise(xyz, rgb if rgbs_feature else xyz, voxel_size_m)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if rgbs_feature:
        features = to_unit(features)
        if features.min() < 0 or features.max() > 1:
            raise InputError(
                f"{path}: colours of {features.min():.3g} to {features.max():.3g} of full scale; floats must lie in "
                "0..1, whole numbers between 0 and the largest of their type"
            )
        if augmentation is not None:
            features = augmentation.tint(features, rng)
    return coordinates, features


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
