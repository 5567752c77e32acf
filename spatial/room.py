"""A room like a shoe box: the mirror images of a source in its walls, by pyroomacoustics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from utils.errors import InputError

INSTALL = "pip install pyroomacoustics"
MOST_REFLECTIONS = 6  # most reflections of a sound on its way


@dataclass(frozen=True)
class Room:
    """Walls, floor and ceiling.

    low_m, size_m: `[3]`, the corner of least x, y and z, and the extent along them. absorption: 0..1, of the energy.
    """

    low_m: np.ndarray
    size_m: np.ndarray
    absorption: float

    @classmethod
    def around(cls, places_m: np.ndarray, size_m: np.ndarray, absorption: float, floor_m: float) -> Room:
        """A room of this size on the floor, whose middle is that of the places `[N, 3]` that are to be in it.

        Raises:
            InputError: they are not in it; pyroomacoustics is not installed.
        """
        try:
            import pyroomacoustics  # noqa: F401
        except ImportError as error:
            raise InputError(f"--room needs the package pyroomacoustics: {INSTALL}") from error
        size = np.asarray(size_m, dtype=float)
        middle = (places_m.min(axis=0) + places_m.max(axis=0)) / 2
        low = np.array([middle[0] - size[0] / 2, floor_m, middle[2] - size[2] / 2])
        if not ((places_m > low) & (places_m < low + size)).all():
            needed = np.append(np.ptp(places_m, axis=0)[[0, 2]], places_m[:, 1].max() - floor_m)
            raise InputError(
                "--room: musicians or the listener are outside; the room is more than "
                f"{needed[0]:.2f} m wide, {needed[2]:.2f} m high and {needed[1]:.2f} m deep, with all above its floor"
            )
        return cls(low, size, absorption)

    def images(self, place_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A source at `[3]` and its images: places `[I, 3]`, and the amplitude `[I]` that the walls leave of each."""
        import pyroomacoustics

        box = pyroomacoustics.ShoeBox(
            self.size_m, materials=pyroomacoustics.Material(self.absorption), max_order=MOST_REFLECTIONS
        )
        box.add_source(place_m - self.low_m)
        box.add_microphone(self.size_m / 2)  # images in a box do not depend on who listens
        box.image_source_model()
        source = box.sources[0]
        return source.images.T.astype(float) + self.low_m, source.damping[0].astype(float)
