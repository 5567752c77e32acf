"""What a user captured, in any usual format, unit and direction of up -> points in metres, Y up."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dataset.cloud_files import Points, read_pcd, read_text
from dataset.frames import draw_frames, frames_needed
from dataset.points import read_cloud
from utils.errors import InputError

READERS: dict[str, Callable[[str], Points]] = {
    ".ply": read_cloud,
    ".pcd": read_pcd,
    ".xyz": read_text,
    ".xyzrgb": read_text,
    ".pts": read_text,
}
UP_AXES = {  # the axis of a file that points up -> the rotation that turns it to Y, of column vectors
    "y": np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    "z": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "x": np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]),
    "-y": np.array([[1, 0, 0], [0, -1, 0], [0, 0, -1]]),
    "-z": np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-x": np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
}
UNITS_M = {"m": 1.0, "cm": 0.01, "mm": 0.001}
HEIGHTS_M = (0.5, 3.0)  # of a musician with an instrument, sitting or standing


@dataclass(frozen=True)
class Capture:
    """A cloud in metres, Y up.

    xyz: `[P, 3]` float32. rgb: `[P, 3]` float32 in 0..1, or None. unit: the file's own, of `UNITS_M`; metres if none
    makes the height a musician's. height_m: of all but the highest and the lowest hundredth of the points.
    """

    xyz: np.ndarray
    rgb: np.ndarray | None
    unit: str
    height_m: float

    @property
    def is_plausible(self) -> bool:
        """Whether the height is a musician's; if not, perhaps another axis points up."""
        return HEIGHTS_M[0] <= self.height_m <= HEIGHTS_M[1]


def read_capture(path: str, up: str = "y") -> Capture:
    """Reads a PLY, PCD, XYZ, XYZRGB or PTS file, whose axis `up` (of `UP_AXES`) points up.

    The unit is the first of metres, centimetres and millimetres that makes the height a musician's.

    Raises:
        InputError: the file is missing, broken or of another kind, holds no points, or its colours are out of range.
    """
    ending = os.path.splitext(path)[1].lower()
    if ending not in READERS:
        raise InputError(f"{path}: expected a point cloud whose name ends in {', '.join(READERS)}")
    xyz, rgb = READERS[ending](path)
    xyz = xyz @ UP_AXES[up].T.astype(np.float32)
    height = height_of(xyz)
    fitting = (unit for unit, metres in UNITS_M.items() if HEIGHTS_M[0] <= height * metres <= HEIGHTS_M[1])
    unit = next(fitting, "m")
    metres = UNITS_M[unit]
    return Capture(xyz * np.float32(metres), _unit_colours(path, rgb), unit, height * metres)


def height_of(xyz: np.ndarray) -> float:
    """The height along Y of points `[P, 3]`, without the highest and the lowest hundredth of them."""
    low, high = np.percentile(xyz[:, 1], (1, 99))
    return float(high - low)


def list_frames(path: str) -> list[str]:
    """The cloud files of a capture: `path` itself, or those in the folder `path`, sorted by name.

    Raises:
        InputError: there is nothing at `path`, or no cloud in the folder.
    """
    if not os.path.isdir(path):
        if not os.path.exists(path):
            raise InputError(f"{path}: no such file or folder")
        return [path]
    names = sorted(name for name in os.listdir(path) if _is_cloud(name))
    if not names:
        raise InputError(f"{path}: the folder holds no point cloud ({', '.join(READERS)})")
    return [os.path.join(path, name) for name in names]


def choose_frames(paths: list[str], num_frames: int, stride_frames: int, rng: np.random.Generator) -> list[str]:
    """K of the frames, drawn as an evaluation draws them; a single one is taken K times.

    Raises:
        InputError: fewer frames than K with this stride need.
    """
    if len(paths) == 1:
        return paths * num_frames
    needed = frames_needed(num_frames, stride_frames)
    if len(paths) < needed:
        raise InputError(
            f"{os.path.dirname(paths[0])}: {len(paths)} frames, but --num_frames {num_frames} --stride_frames "
            f"{stride_frames} needs {needed}"
        )
    return [paths[frame] for frame in draw_frames(len(paths), num_frames, stride_frames, rng)]


def _is_cloud(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in READERS and not name.startswith(".")


def _unit_colours(path: str, rgb: np.ndarray | None) -> np.ndarray | None:
    """Colours in 0..1, of colours in 0..1 or 0..255."""
    if rgb is None:
        return None
    low, high = rgb.min(), rgb.max()
    if low < 0 or high > 255:
        raise InputError(f"{path}: colours from {low:.3g} to {high:.3g}; expected 0..1 or 0..255")
    return rgb / np.float32(255) if high > 1 else rgb
