"""Where musicians and the listener are: metres, x to the right, y up, z towards the viewer, as in scene.json.

The listener's own axes are those of SOFA and AmbiX: x ahead, y to the left, z up; angles in degrees, positive to the
left. A facing of 0 looks along -z, into the scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from utils.errors import InputError

FARTHEST_M, MOST_DEGREES = 1e6, 1e6  # farthest place from the origin; largest angle of a listener


def numbers(values: object, what: str) -> np.ndarray:
    """Values as an array of floats; raises InputError, which names them as `what`, where they are no such array."""
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{what}: not numbers in rows of one length") from error


@dataclass(frozen=True)
class Path:
    """A place that may change: at `seconds` `[K]`, ascending, it is `places_m` `[K, 3]`, between them on a line.

    Raises:
        InputError: wrong shapes, times that do not ascend, or places that are not finite or beyond 1,000 km.
    """

    seconds: np.ndarray
    places_m: np.ndarray

    def __post_init__(self) -> None:
        seconds, places = numbers(self.seconds, "a path's times"), numbers(self.places_m, "a path's places")
        if seconds.ndim != 1 or not len(seconds) or places.shape != (len(seconds), 3):
            raise InputError(f"a path is K times and [K, 3] places, not {list(seconds.shape)} and {list(places.shape)}")
        if not (np.isfinite(seconds).all() and np.isfinite(places).all() and (np.diff(seconds) > 0).all()):
            raise InputError("a path's times ascend, and its places are finite")
        if np.abs(places).max() > FARTHEST_M:
            raise InputError(f"a place {np.abs(places).max():.3g} m from the origin; expected at most {FARTHEST_M:g} m")
        object.__setattr__(self, "seconds", seconds)
        object.__setattr__(self, "places_m", places)

    @classmethod
    def still(cls, place_m: np.ndarray) -> Path:
        """A place `[3]` that does not change."""
        return cls(np.zeros(1), numbers(place_m, "a place").reshape(1, -1))

    @property
    def moves(self) -> bool:
        return bool(np.ptp(self.places_m, axis=0).any())

    def at(self, seconds: float) -> np.ndarray:
        """The place `[3]` at a time; before the first and after the last it rests."""
        return np.array([np.interp(seconds, self.seconds, axis) for axis in self.places_m.T])


class Listener:
    """A head: where it is and where it looks.

    Args:
        place_m: `[3]`, the middle between the ears, or a Path.
        facing_degrees: 0 looks along -z, 90 along -x; with a Path one for each of its times: then it turns evenly.

    Raises:
        InputError: wrong shapes, or values that are not finite or far too large.
    """

    def __init__(self, place_m: np.ndarray | Path, facing_degrees: float | np.ndarray = 0.0):
        self.path = place_m if isinstance(place_m, Path) else Path.still(place_m)
        facing = numbers(facing_degrees, "the listener's facing")
        if facing.shape not in ((), self.path.seconds.shape):
            raise InputError(f"{list(facing.shape)} facings for {len(self.path.seconds)} places of a listener")
        facing = np.broadcast_to(facing, self.path.seconds.shape)
        if not (np.abs(facing) <= MOST_DEGREES).all():
            raise InputError(f"the listener's facing is not a number of degrees up to {MOST_DEGREES:g}")
        self.facing_degrees = np.unwrap(facing, period=360)

    @property
    def moves(self) -> bool:
        return self.path.moves or bool(np.ptp(self.facing_degrees))

    def at(self, seconds: float) -> tuple[np.ndarray, float]:
        """The place `[3]` and the facing in degrees at a time."""
        return self.path.at(seconds), float(np.interp(seconds, self.path.seconds, self.facing_degrees))


def seen_from(places_m: np.ndarray, ear_m: np.ndarray, facing_degrees: float) -> np.ndarray:
    """Places `[I, 3]` of a scene in the axes of a listener at `ear_m` `[3]`: `[I, 3]` metres ahead, to the left, up."""
    x, y, z = (places_m - ear_m).T
    sine, cosine = np.sin(np.radians(facing_degrees)), np.cos(np.radians(facing_degrees))
    return np.stack([-sine * x - cosine * z, -cosine * x + sine * z, y], axis=1)


def angles_of(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Azimuth and elevation in degrees and distance, each `[I]`, of places `[I, 3]` in a listener's axes."""
    x, y, z = directions.T
    return np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y))), np.linalg.norm(directions, axis=1)


def directions_of(azimuth_degrees: np.ndarray, elevation_degrees: np.ndarray) -> np.ndarray:
    """Unit vectors `[I, 3]` in a listener's axes."""
    azimuth, elevation = np.radians(azimuth_degrees), np.radians(elevation_degrees)
    return np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], -1)
