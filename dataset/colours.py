"""Which columns of a cloud are its colours, and what their numbers mean."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from utils.errors import InputError

NAMES = (  # names of red, green and blue, in lower case
    ("red", "green", "blue"),
    ("r", "g", "b"),
    ("diffuse_red", "diffuse_green", "diffuse_blue"),
    ("vertex_red", "vertex_green", "vertex_blue"),
)
SPLAT_NAMES = ("f_dc_0", "f_dc_1", "f_dc_2")  # colours of Gaussian splats: spherical harmonics of degree 0
SPLAT_GAIN = 0.5 / np.sqrt(np.pi)  # the value of that harmonic
PACKED_NAMES = ("rgb", "rgba")  # one number of 32 bits, 0xAARRGGBB, perhaps told to be a float
ROUNDING = 1.01  # floats up to this are parts of 1; more, up to DARK, may be anything
DARK = 2.0  # floats that are not whole and no larger are not taken as 0..255: they would be black


def find_colours(fields: Mapping[str, np.ndarray]) -> tuple[np.ndarray | None, str]:
    """The colours among the columns `[P]` of a cloud.

    Returns:
        `[3, P]` in the columns' own type, or None; and a notice where they are not simply red, green and blue.

    Raises:
        ValueError: packed colours that are not of 32 bits.
    """
    by_name = {name.lower(): name for name in reversed(list(fields))}
    for names in NAMES:
        if all(name in by_name for name in names):
            columns = [fields[by_name[name]] for name in names]
            wrapped = [name for name, column in zip(names, columns, strict=True) if _is_wrapped(column)]
            rgb = np.stack([_as_byte(column) for column in columns])
            notes = [] if names == NAMES[0] else [f"colours of {' '.join(names)}"]
            notes += [f"negative {' and '.join(wrapped)} of signed bytes taken as 128..255"] if wrapped else []
            return rgb.astype(rgb.dtype.newbyteorder("="), copy=False), "; ".join(notes)
    if all(name in by_name for name in SPLAT_NAMES):
        harmonics = np.stack([fields[by_name[name]] for name in SPLAT_NAMES]).astype(np.float32)
        return (0.5 + np.float32(SPLAT_GAIN) * harmonics).clip(0, 1), "colours of the splats' f_dc_0 f_dc_1 f_dc_2"
    for name in PACKED_NAMES:
        if name in by_name:
            packed = fields[by_name[name]]
            if packed.dtype.itemsize != 4:
                raise ValueError(f"colours {name} of {packed.dtype.itemsize} bytes, expected 4")
            bits = np.ascontiguousarray(packed).astype(packed.dtype.newbyteorder("="), copy=False).view(np.uint32)
            return np.stack([bits >> shift & 255 for shift in (16, 8, 0)]).astype(np.uint8), ""
    return None, ""


def full_scale(rgb: np.ndarray) -> float:
    """The number that stands for full brightness in colours of any shape, by their type and the largest of them.

    Bytes: 255. Other whole numbers: 255 if none is larger, else 65535, else the largest of their type. Floats: 1 if
    none is larger, else 255.

    Raises:
        InputError: they are negative, or larger than any scale.
    """
    if rgb.dtype == np.uint8 or not rgb.size:
        return 255.0
    low, high = rgb.min(), rgb.max()
    if rgb.dtype.kind in "iu":
        largest = np.iinfo(rgb.dtype).max
        scale = next((scale for scale in (255, 65535) if high <= scale < largest), largest)
    else:
        is_part = high <= ROUNDING or (high <= DARK and (rgb != np.floor(rgb)).any())
        scale, largest = (1, ROUNDING) if is_part else (255, 255)
    if low < 0 or high > largest:
        raise InputError(f"colours from {low:.3g} to {high:.3g}; expected 0..1 or 0..255, or 16 bits of a whole type")
    return float(scale)


def to_unit(rgb: np.ndarray, scale: float | None = None) -> np.ndarray:
    """Colours of any type and shape, converted to 0..1, float32.

    scale: their `full_scale`, to be given if these are only a part of the colours.

    Raises:
        InputError: as `full_scale`.
    """
    scale = full_scale(rgb) if scale is None else scale
    unit = rgb.astype(np.float32) / np.float32(scale)
    return np.minimum(unit, 1, out=unit) if rgb.dtype.kind == "f" else unit


def scale_note(rgb: np.ndarray, scale: float) -> str:
    """A note on the scale that was assumed, if another one is as common for this type of colours; else ''."""
    is_usual = scale == (np.iinfo(rgb.dtype).max if rgb.dtype.kind in "iu" else 1)
    kind = {"i": "whole numbers", "u": "whole numbers", "f": "floats"}[rgb.dtype.kind]
    return "" if is_usual else f"colours are {kind} up to {rgb.max():.4g}: taken as 0..{scale:.0f}"


def _is_wrapped(column: np.ndarray) -> bool:
    return column.dtype == np.int8 and bool((column < 0).any())


def _as_byte(column: np.ndarray) -> np.ndarray:
    """Signed bytes, which some writers use for bytes, as unsigned ones."""
    return column.view(np.uint8) if column.dtype == np.int8 else column
