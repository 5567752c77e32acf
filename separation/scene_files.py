"""A scene on disk: where each stem's musician stands, for VR/AR engines and as a picture."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np

from dataset.points import ply_bytes
from separation.scene import ELSEWHERE, Candidate, NobodysPoints, Scene
from separation.scene_picture import draw_scene
from separation.tracks import Track
from utils.figures import save_figure
from utils.files import replacing, write_json

CANDIDATES = "candidates.npz"
OWNER = np.dtype(np.int16)  # the number of a point's candidate
MOST_BYTES = 2**22  # largest file without the owners


def scene_files(folder: Path, names: list[str]) -> list[Path]:
    """What is written into `folder` for a scene, besides the stems."""
    fixed = [folder / name for name in ("scene.json", "scene.png", "scene.wav", "scene.glb", CANDIDATES)]
    return [*fixed, *(folder / f"{name}.ply" for name in names)]


def write_candidates(scene: Scene, folder: Path, capture: str) -> None:
    """Writes `candidates.npz`: whose the points are, so that other candidates can be chosen without a new search.

    capture: what the scene was made from, see `capture_key`.

    Raises:
        WriteError: the folder cannot be written.
    """
    with replacing(folder / CANDIDATES) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            capture=capture,
            owners=scene.owners.astype(OWNER),
            taken=scene.taken,
            has_floor=scene.has_floor,
            scores=[candidate.score for candidate in scene.candidates],
            reasons=[candidate.reason for candidate in scene.candidates],
            floors=[candidate.floor_m for candidate in scene.candidates],
            elsewhere=[part.num_points for part in scene.elsewhere],
        )


def read_candidates(folder: Path, capture: str, xyz: np.ndarray, rgb: np.ndarray | None) -> Scene | None:
    """The scene that `write_candidates` wrote there of the same capture, or None; xyz, rgb: its points `[P, 3]`."""
    try:
        with ZipFile(folder / CANDIDATES) as archive:  # which may hold far more than a scene, packed
            if sum(part.file_size for part in archive.infolist()) > MOST_BYTES + OWNER.itemsize * len(xyz):
                return None
        with np.load(folder / CANDIDATES) as stored:
            values = {name: stored[name] for name in stored.files}
        if values["capture"] != capture:
            return None
        reasons = map(str, values["reasons"].tolist())
        scores, floors = (map(float, values[name].tolist()) for name in ("scores", "floors"))
        candidates = [Candidate(*row) for row in zip(scores, reasons, floors, strict=True)]
        owners, taken = values["owners"].astype(OWNER, casting="same_kind"), values["taken"].tolist()
        numbers = range(len(candidates))
        if (
            owners.shape != (len(xyz),)
            or not set(np.unique(owners)) <= {-1, *numbers}
            or not set(taken) <= set(numbers)
        ):
            return None
        counts = map(int, values["elsewhere"].tolist())
        elsewhere = [NobodysPoints(*part) for part in zip(ELSEWHERE, counts, strict=True)]
        has_floor = bool(values["has_floor"])
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        MemoryError,
        NotImplementedError,
        BadZipFile,
        zlib.error,
    ):
        return None
    return Scene(
        xyz,
        rgb,
        candidates=candidates,
        owners=owners.astype(int),
        taken=tuple(taken),
        has_floor=has_floor,
        elsewhere=elsewhere,
    )


def capture_key(path: str | Path, **options: object) -> str:
    """A text that changes with the file, and with every option that affects what is found in it."""
    with open(path, "rb") as file:
        return f"{hashlib.file_digest(file, 'blake2b').hexdigest()} {sorted(options.items())}"


def write_scene(
    scene: Scene, stems: dict[str, Path], folder: Path, tracks: list[Track] | None = None, **about: object
) -> None:
    """Writes `scene.json`, `scene.png` and a PLY file of each musician.

    Args:
        stems: name -> file of the stem, of the musicians from left to right.
        tracks: of the musicians, where they are over time; None: they do not move.
        about: further facts about the capture for `scene.json`.

    Raises:
        WriteError: the folder cannot be written.
    """
    sources = []
    ways = tracks or [[] for _ in stems]
    for musician, (name, stem), way in zip(scene.musicians, stems.items(), ways, strict=True):
        cloud = folder / f"{name}.ply"
        with replacing(cloud) as temporary:
            temporary.write_bytes(ply_bytes(musician.xyz, musician.rgb))
        sources.append(
            {
                "name": name,
                "stem": stem.name,
                "cloud": cloud.name,
                "centroid_m": musician.centroid_m.round(4).tolist(),
                "size_m": musician.size_m.round(4).tolist(),
                "points": musician.num_points,
                **({"track": [_moment(*moment) for moment in way]} if way else {}),
            }
        )
    named = dict(zip(scene.taken, stems, strict=True))
    candidates = [
        {
            "number": number + 1,
            "score": round(candidate.score, 3),
            "source": named.get(number),
            "reason": candidate.reason or ("" if number in named else "not wanted"),
            "centroid_m": scene.xyz[scene.owners == number].mean(axis=0, dtype=np.float64).round(4).tolist(),
            "points": int((scene.owners == number).sum()),
        }
        for number, candidate in enumerate(scene.candidates)
        if (scene.owners == number).any()
    ]
    save_figure(draw_scene(scene, list(stems)), folder / "scene.png", dpi=100)
    write_json(
        folder / "scene.json",
        {
            **about,
            "axes": "metres; x to the right, y up, z towards the viewer",
            "units": "metres and seconds",
            "floor_height_m": round(scene.floor_height_m, 4) if scene.has_floor else None,
            "lowest_m": round(scene.floor_height_m, 4),
            "sources": sources,
            "candidates": candidates,
        },
    )


def _moment(seconds: float, centroid_m: np.ndarray) -> dict:
    return {"seconds": round(seconds, 4), "centroid_m": centroid_m.round(4).tolist()}
