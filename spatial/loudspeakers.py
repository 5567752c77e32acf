"""Loudspeakers: vector base amplitude panning (Pulkki, 1997) over the layouts of ITU-R BS.2051."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull

from spatial.geometry import angles_of, directions_of

LFE = "LFE"
# Channels in the order of the files: azimuth, positive to the left, and elevation in degrees.
SURROUND = {"L": (30, 0), "R": (-30, 0), "C": (0, 0), LFE: None, "Ls": (110, 0), "Rs": (-110, 0)}
LAYOUTS = {
    "5.1": SURROUND,
    "7.1.4": {
        **{"L": (30, 0), "R": (-30, 0), "C": (0, 0), LFE: None, "Lss": (90, 0), "Rss": (-90, 0)},
        **{"Lrs": (135, 0), "Rrs": (-135, 0), "Ltf": (45, 30), "Rtf": (-45, 30), "Ltb": (135, 30), "Rtb": (-135, 30)},
    },
}
TO_STEREO = np.array(  # of the five loudspeakers of SURROUND: each side takes its own, and half the power of the middle
    [[1, 0, np.sqrt(0.5), 1, 0], [0, 1, np.sqrt(0.5), 0, 1]]
)


class Loudspeakers:
    """Gains of power 1 over the loudspeakers nearest to a direction.

    A direction below the lowest ring, or above the only one, sounds from the ring at its azimuth. Above the upper ring
    of 7.1.4 there is a loudspeaker that does not exist: its share goes to that ring. Left and right mirror. LFE stays
    silent.

    layout: "stereo", "5.1" or "7.1.4"; stereo is 5.1 mixed down.
    """

    def __init__(self, layout: str):
        self.is_stereo = layout == "stereo"
        speakers = SURROUND if self.is_stereo else LAYOUTS[layout]
        places = np.array([angles for angles in speakers.values() if angles], dtype=float)  # [S, 2]
        self.channels = [n for n, angles in enumerate(speakers.values()) if angles]
        self.num_channels = 2 if self.is_stereo else len(speakers)
        elevations = places[:, 1]
        self._highest = np.flatnonzero(elevations == elevations.max())
        self._limits_degrees = elevations.min(), 90 if np.ptp(elevations) else elevations.max()
        self._mirrored = [places.tolist().index([-azimuth, elevation]) for azimuth, elevation in places]
        vectors = np.concatenate([directions_of(*places.T), [[0, 0, 1], [0, 0, -1]]])  # [S + 2, 3]
        self._triplets = ConvexHull(vectors).simplices
        self._inverses = np.linalg.inv(vectors[self._triplets])  # [T, 3, 3]

    def filters(self, directions: np.ndarray) -> np.ndarray:
        """Gains `[I, channels, 1]` for unit vectors `[I, 3]` in the listener's axes."""
        azimuth, elevation, _ = angles_of(directions)
        directions = directions_of(azimuth, elevation.clip(*self._limits_degrees))
        # Four loudspeakers in a plane are cut into triplets along one diagonal or the other: the mean is of both.
        gains = self._pan(directions) + self._pan(directions * [1, -1, 1])[:, self._mirrored]  # [I, S]
        if self.is_stereo:
            all_gains = gains @ TO_STEREO.T
        else:
            all_gains = np.zeros((len(directions), self.num_channels))
            all_gains[:, self.channels] = gains
        return (all_gains / np.linalg.norm(all_gains, axis=1, keepdims=True))[..., None].astype(np.float32)

    def _pan(self, directions: np.ndarray) -> np.ndarray:
        """Gains `[I, S]`, of power 1, in the triplet that holds each direction: there all weights are positive."""
        weights = np.einsum("ia,tab->itb", directions, self._inverses)  # [I, T, 3]
        chosen = weights.min(axis=2).argmax(axis=1)
        each, count = np.arange(len(directions)), len(self.channels)
        gains = np.zeros((len(directions), count + 2))
        gains[each[:, None], self._triplets[chosen]] = weights[each, chosen].clip(min=0)
        gains[:, self._highest] += gains[:, [count]] / np.sqrt(len(self._highest))
        return gains[:, :count] / np.linalg.norm(gains[:, :count], axis=1, keepdims=True)
