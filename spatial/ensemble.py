"""The folder that `separate.py --scene` wrote: stems, and who plays where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path as FilePath

import numpy as np

from dataset.audio import Recording, open_recording
from spatial.geometry import Listener, Path
from utils.errors import InputError
from utils.files import read_json

EARS_M = 1.6  # above the floor


@dataclass(frozen=True)
class Ensemble:
    """N musicians: their names, where they are, and their stems, all of one rate and length."""

    names: list[str]
    paths: list[Path]
    floor_m: float
    stems: list[Recording]

    @property
    def rate_hz(self) -> int:
        return self.stems[0].rate_hz

    @property
    def num_samples(self) -> int:
        return self.stems[0].num_samples

    @property
    def places_m(self) -> np.ndarray:
        """Where the musicians are at the beginning, `[N, 3]`."""
        return np.stack([path.at(0) for path in self.paths])

    @property
    def ends_m(self) -> np.ndarray:
        """All places where they ever are, `[K, 3]`."""
        return np.concatenate([path.places_m for path in self.paths])

    def read(self, number: int, start: int, length: int) -> np.ndarray:
        """Samples `start .. start + length` of a stem, the mean of its channels: `[length]`."""
        return self.stems[number].read(start, length, self.rate_hz, mono=True)[0]

    def before(self) -> Listener:
        """A listener who stands where a conductor does, as in the page of the scene."""
        x, _, z = self.places_m.T
        return Listener(np.array([x.mean(), self.floor_m + EARS_M, z.max() + 1.2 + 0.4 * np.ptp(x)]))


@contextmanager
def open_ensemble(folder: FilePath) -> Iterator[Ensemble]:
    """Reads `scene.json` and opens the stems that it names.

    Raises:
        InputError: a file is missing, damaged or holds something else; stems of different rates or lengths.
    """
    path = folder / "scene.json"
    content = read_json(path)
    try:
        sources, floor = content["sources"], content["floor_height_m"]
        names = [str(source["name"]) for source in sources]
        files = [folder / FilePath(source["stem"]).name for source in sources]
        paths = [_path_of(source) for source in sources]
        lowest = content.get("lowest_m", min((place.places_m[:, 1].min() for place in paths), default=0.0) - 1.0)
        floor_m = float(lowest if floor is None else floor)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: not the description of a scene ({error!r})") from error
    if not np.isfinite(floor_m):
        raise InputError(f"{path}: floor_height_m is not finite")
    if not names:
        raise InputError(f"{path}: no musicians in it")
    with ExitStack() as stack:
        stems = [stack.enter_context(open_recording(str(file))) for file in files]
        for file, stem in zip(files, stems, strict=True):
            if (stem.rate_hz, stem.num_samples) != (stems[0].rate_hz, stems[0].num_samples):
                raise InputError(f"{file}: not of the rate and length of {files[0]}")
        yield Ensemble(names, paths, floor_m, stems)


def _path_of(source: dict) -> Path:
    """The musician's track, or where it stands."""
    if track := source.get("track"):
        return Path([moment["seconds"] for moment in track], [moment["centroid_m"] for moment in track])
    return Path.still(np.array(source["centroid_m"], dtype=float))
