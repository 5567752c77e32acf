"""A user's point cloud, in any usual format, unit and orientation -> points in metres, Y up."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dataset.cloud_files import read_pcd
from dataset.colours import full_scale, scale_note, to_unit
from dataset.frames import draw_frames
from dataset.points import RawCloud, read_ply
from dataset.settings import FrameSettings
from dataset.text_clouds import read_text
from utils.errors import InputError
from utils.files import fault_of_file, fault_of_folder

READERS: dict[str, Callable[[str], RawCloud]] = {".ply": read_ply, ".pcd": read_pcd}
TEXT_ENDINGS = (".xyz", ".xyzrgb", ".pts")
ENDINGS = (*READERS, *TEXT_ENDINGS)
UP_AXES = {  # the axis of a file that points up -> the rotation that turns it to Y, of column vectors
    "y": np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    "z": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "x": np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]),
    "-y": np.array([[1, 0, 0], [0, -1, 0], [0, 0, -1]]),
    "-z": np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-x": np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
}
UNITS_M = {"m": 1.0, "cm": 0.01, "mm": 0.001, "ft": 0.3048, "in": 0.0254}
HEIGHTS_M = (0.5, 3.0)  # heights of a musician with an instrument, sitting or standing
LIKELY_M = (1.0, 2.3)  # the heights of nearly all of them
FAR_M = 1000.0  # points beyond this are coordinates of a map, and moved near the origin before they lose digits
FARTHEST = 1e30  # of any unit: larger numbers are not coordinates
UPSIDE_DOWN = 0.025  # how much more of the voxels the highest slice holds than the lowest: feet and floors are more
SLICE, LAYERS = 0.12, 60  # share of the height that a slice has; layers of voxels over the height
FEW_VOXELS = 500  # too few to judge by
COARSE_M = 0.005  # steps of a file's own floats that are told


@dataclass(frozen=True)
class Capture:
    """A cloud in metres, Y up.

    xyz: `[P, 3]` float32. rgb: `[P, 3]` float32 in 0..1, or None. unit: the file's own, of `UNITS_M`; metres if no unit
    gives a musician's height. height_m: without the highest and the lowest hundredth of the points. shift_m: `[3]`,
    what was subtracted from the file's coordinates (in metres, Y up), or None. notes: what was assumed where a file may
    be read in several ways, one sentence each.
    """

    xyz: np.ndarray
    rgb: np.ndarray | None
    unit: str
    height_m: float
    shift_m: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_plausible(self) -> bool:
        """Whether the height is plausible for a musician; if not, perhaps another axis points up."""
        return HEIGHTS_M[0] <= self.height_m <= HEIGHTS_M[1]


def read_capture(
    path: str, up: str = "y", unit: str = "auto", columns: Sequence[str] | None = None, is_scene: bool = False
) -> Capture:
    """Reads a PLY, PCD, XYZ, XYZRGB or PTS file, whose axis `up` (of `UP_AXES`) points up.

    Args:
        unit: of `UNITS_M`, or auto: see `choose_unit`.
        columns: of text files, see `read_text`.
        is_scene: it holds several musicians and perhaps a room, whose height says less than a musician's.

    Raises:
        InputError: the file is missing, broken or of another kind, holds no points, or its colours are out of range.
    """
    ending = os.path.splitext(path)[1].lower()
    if ending not in ENDINGS:
        raise InputError(f"{path}: expected a point cloud whose name ends in {', '.join(ENDINGS)}")
    cloud = READERS[ending](path) if ending in READERS else read_text(path, columns)
    xyz = cloud.xyz.astype(np.float64)
    far = abs(xyz).max(axis=1) > FARTHEST
    if far.all():
        raise InputError(f"{path}: the cloud holds no points")
    step = float(np.spacing(np.float32(abs(xyz[~far]).max()))) if cloud.xyz.dtype == np.float32 else 0.0
    xyz = xyz[~far] @ UP_AXES[up].T
    try:
        rgb, note = _unit_colours(cloud.rgb, is_text=ending in TEXT_ENDINGS)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    rgb = None if rgb is None else rgb[~far]
    notes = [*cloud.notes, note]

    height = height_of(xyz)
    chosen = choose_unit(height, is_scene) if unit == "auto" else unit
    metres = UNITS_M[chosen]
    notes.append("" if unit != "auto" else _unit_note(height, chosen))
    if looks_upside_down(xyz):
        notes.append(f"looks UPSIDE DOWN, there is more at its top than at its bottom; if so: --up {opposite(up)}")
    xyz, shift = _near_origin(xyz * metres)
    if shift is not None:
        x, y, z = shift
        notes.append(f"far from the origin: moved by {-x:.0f}, {-y:.2f}, {-z:.0f} m along x, y (up), z")
        if step * metres > COARSE_M:
            notes.append(f"its 32-bit floats hold such coordinates in steps of {step * metres:.3g} m only")
    return Capture(xyz, rgb, chosen, height * metres, shift, tuple(note for note in notes if note))


def opposite(up: str) -> str:
    """The other direction of an axis of `UP_AXES`."""
    return up[1:] if up.startswith("-") else f"-{up}"


def looks_upside_down(xyz: np.ndarray) -> bool:
    """Whether points `[P, 3]` of any unit, Y up, are more at the top than at the bottom, where feet and a floor are."""
    low, high = np.percentile(xyz[:, 1], (0.5, 99.5))
    if not high > low:
        return False
    layers = np.unique(np.floor((xyz - [0, low, 0]) * (LAYERS / (high - low))), axis=0)[:, 1]  # of the voxels
    at_top, at_bottom = (layers >= (1 - SLICE) * LAYERS).mean(), (layers < SLICE * LAYERS).mean()
    return bool(len(layers) >= FEW_VOXELS and at_top - at_bottom > UPSIDE_DOWN)


def choose_unit(height: float, is_scene: bool = False) -> str:
    """The unit, of `UNITS_M`, of a capture of this height.

    It is the first of metres, centimetres, millimetres, feet and inches that gives the height of nearly all musicians;
    else the first that gives the height of any; else metres. A scene as high as a hall in metres is never taken to be
    in feet.
    """
    for low, high in (LIKELY_M, HEIGHTS_M):
        fitting = [unit for unit, metres in UNITS_M.items() if low <= height * metres <= high]
        if is_scene and "ft" in fitting:
            fitting.remove("ft")
        if fitting:
            return fitting[0]
    return "m"


def _unit_note(height: float, unit: str) -> str:
    """A sentence that names the unit assumed and the other possible ones; empty for a musician in metres."""
    metres = height * UNITS_M[unit]
    others = [
        f"{height * other:.2f} m in {name}"
        for name, other in UNITS_M.items()
        if name != unit and HEIGHTS_M[0] <= height * other <= HEIGHTS_M[1]
    ]
    is_likely = LIKELY_M[0] <= metres <= LIKELY_M[1]
    if unit == "m" and (is_likely or not others):
        return ""
    told = f", but it would be {' and '.join(others)}" if others else ""
    settles = "; --unit settles it" if others else ""
    return f"taken as {unit}, {metres:.2f} m high{told}{settles}"


def _near_origin(xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Points `[P, 3]` as float32, and what was subtracted if they were far away: their middle, and the lowest y."""
    if abs(xyz).max() <= FAR_M:
        return xyz.astype(np.float32), None
    x, _, z = np.median(xyz, axis=0)
    shift = np.array([round(x), np.round(np.percentile(xyz[:, 1], 0.5), 2), round(z)])
    if not (abs(shift) > FAR_M / 2).any():  # a few stray points are far, or it is as large as that
        return xyz.astype(np.float32), None
    return (xyz - shift).astype(np.float32), shift


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
        if fault := fault_of_file(path):
            raise InputError(f"{path}: {'no such file or folder' if fault == 'no such file' else fault}")
        return [path]
    if fault := fault_of_folder(path):
        raise InputError(f"{path}: {fault}")
    names = sorted(name for name in os.listdir(path) if _is_cloud(name))
    if not names:
        raise InputError(f"{path}: the folder holds no point cloud ({', '.join(ENDINGS)})")
    return [os.path.join(path, name) for name in names]


def choose_frames(paths: list[str], frames: FrameSettings, rng: np.random.Generator) -> list[str]:
    """K of the frames, drawn as an evaluation draws them; a single one is taken K times.

    Raises:
        InputError: fewer frames than K with this stride need.
    """
    if len(paths) == 1:
        return paths * frames.count
    if len(paths) < frames.needed:
        raise InputError(
            f"{os.path.dirname(paths[0])}: {len(paths)} frames, but --num_frames {frames.count} --stride_frames "
            f"{frames.stride} needs {frames.needed}"
        )
    return [paths[frame] for frame in draw_frames(len(paths), frames, rng)]


def _is_cloud(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in ENDINGS and not name.startswith(".")


def _unit_colours(rgb: np.ndarray | None, is_text: bool) -> tuple[np.ndarray | None, str]:
    """Colours in 0..1, and a note if their scale is unusual; in text files whole numbers are usual."""
    if rgb is None:
        return None, ""
    scale = full_scale(rgb)
    note = "" if is_text and (rgb % 1 == 0).all() else scale_note(rgb, scale)
    return to_unit(rgb, scale), note
