"""Point clouds: PLY files <-> points and colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from plyfile import PlyParseError

from dataset.colours import find_colours, to_unit
from dataset.ply import read_vertices
from utils.errors import InputError
from utils.files import words_of


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
    """The columns x, y, z; raises ValueError that lists the columns found."""
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
