"""Augmentations of clouds: drawn once for a source, applied alike to all its frames.

Geometry: rotation about the vertical axis and tilt, translation, scale, shear, joined into one affine map.
Colour: noise, then brightness and saturation in one step of HSV.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

YAW_DEG, TILT_DEG = 180.0, 30.0
TRANSLATION_M = 0.4
SCALE = 2.0
SHEAR = 0.1
NOISE_VARIANCE, VALUE_SHIFT, SATURATION_SHIFT = 0.001, 0.2, 0.15
DARKEST = 0.05  # HSV value below which hue and saturation are no more than noise


@dataclass(frozen=True)
class PointAugmentation:
    """`xyz -> xyz @ matrix + offset`, and shifts of the colours' HSV value and saturation.

    matrix: `[3, 3]`. offset: `[3]` in metres. noise: standard deviation added to colours in 0..1.
    """

    matrix: np.ndarray
    offset: np.ndarray
    noise: float
    value_shift: float
    saturation_shift: float

    @classmethod
    def draw(cls, rng: np.random.Generator, strength: float = 1.0) -> PointAugmentation:
        """Draws one. Strength 1 is the paper's: yaw +-180 and tilt +-30 degrees, translation 0.4 N(0, 1) m, scale
        0.5..2, shear 0.1 N(0, 1), colour noise of variance 0.001, value +-0.2, saturation +-0.15; 0 is none."""
        yaw = rotation_matrix(np.array([0.0, 1.0, 0.0]), math.radians(YAW_DEG * strength) * rng.uniform(-1, 1))
        axis = rng.uniform(-0.5, 0.5, 3)
        tilt = rotation_matrix(axis, math.radians(TILT_DEG * strength) * rng.uniform(-1, 1))
        rotation = (tilt @ yaw).T
        translation = TRANSLATION_M * strength * rng.standard_normal(3)
        scale = rng.uniform(SCALE**-strength, SCALE**strength)
        shear = np.eye(3) + SHEAR * strength * rng.standard_normal((3, 3))
        return cls(
            matrix=rotation @ shear * scale,
            offset=translation @ shear * scale,
            noise=math.sqrt(NOISE_VARIANCE) * strength,
            value_shift=strength * rng.uniform(-VALUE_SHIFT, VALUE_SHIFT),
            saturation_shift=strength * rng.uniform(-SATURATION_SHIFT, SATURATION_SHIFT),
        )

    def move(self, xyz: np.ndarray) -> np.ndarray:
        """Points `[P, 3]` in metres, moved."""
        matrix, offset = self.matrix.astype(np.float32), self.offset.astype(np.float32)
        return (matrix.T @ xyz.T + offset[:, None]).T

    def tint(self, rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Colours `[P, 3]` in 0..1, changed; the noise of every point comes from `rng`. They may leave 0..1."""
        noisy = rgb + self.noise * rng.standard_normal(rgb.shape, dtype=np.float32)
        return shift_hsv(noisy, self.saturation_shift, self.value_shift)


def rotation_matrix(axis: np.ndarray, angle_rad: float) -> np.ndarray:
    """`[3, 3]`, turns column vectors about `axis` `[3]`, of any length, by the right hand (Rodrigues' formula)."""
    x, y, z = (axis / math.sqrt(axis @ axis)).tolist()
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + math.sin(angle_rad) * cross + (1.0 - math.cos(angle_rad)) * (cross @ cross)


def shift_hsv(rgb: np.ndarray, saturation_shift: float, value_shift: float) -> np.ndarray:
    """Colours `[P, 3]` with shifted HSV saturation and value; nothing is clipped to 0..1, as in the reference.

    With value v = max(r, g, b) and chroma c = v - min(r, g, b), every channel x is `v - v s (v - x) / c`, where the
    saturation s is `c / v` and `(v - x) / c` is a matter of the hue alone. Only v and s change, so the hue needs no
    angle: with v' = v + value_shift a channel becomes `v' - (v - x) v' / v - v' saturation_shift (v - x) / c`. Greys
    have the hue of red, as by definition.

    The reference divides by v whatever it is, which makes colours of any size out of black with some noise. Here no
    shift makes v' negative, and v' / v is taken as if v were at least DARKEST.
    """
    channels = np.ascontiguousarray(rgb.T)  # [3, P]
    value = channels.max(axis=0)
    below = value - channels  # [3, P]
    chroma = below.max(axis=0)
    of_hue = below / np.where(chroma > 0, chroma, 1)
    of_hue[1:, chroma == 0] = 1
    gain = (1 + value_shift / value.clip(DARKEST)).clip(0.0)  # v' / v
    value = np.maximum(value + value_shift, np.minimum(value, 0))
    return np.ascontiguousarray((value - below * gain - value * saturation_shift * of_hue).T)
