"""Ambisonics in the AmbiX convention: channels in the order ACN, normalised as SN3D."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import sph_harm_y

from spatial.geometry import angles_of

HIGHEST_ORDER = 3


class Ambisonics:
    """The sound field around the listener, whose front is where the listener looks.

    order: 1 to 3, of `(order + 1) ** 2` channels.
    """

    def __init__(self, order: int):
        self.order, self.num_channels = order, (order + 1) ** 2

    def filters(self, directions: np.ndarray) -> np.ndarray:
        """Gains `[I, channels, 1]` for unit vectors `[I, 3]` in the listener's axes."""
        azimuth, elevation, _ = angles_of(directions)
        theta, phi = np.radians(90 - elevation), np.radians(azimuth)
        channels = [_sn3d(n, m, theta, phi) for n in range(self.order + 1) for m in range(-n, n + 1)]
        return np.stack(channels, axis=1)[..., None].astype(np.float32)


def _sn3d(n: int, m: int, theta: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """The real spherical harmonic of degree n and index m, without the Condon-Shortley phase; 1 for n = 0."""
    harmonic = math.sqrt(4 * math.pi / (2 * n + 1)) * sph_harm_y(n, abs(m), theta, phi)
    if m == 0:
        return harmonic.real
    return math.sqrt(2) * (-1) ** m * (harmonic.real if m > 0 else harmonic.imag)
