"""The page of a scene: musicians in 3D, whose stems are heard from where they stand, among whom a listener walks.

A page from disk may load scripts and nothing else, and sounds of media elements are silent there once they pass through
Web Audio. So the recordings are cut into pieces of a few seconds, each a script that holds all tracks as FLAC; the page
decodes the piece that is due and the next, and keeps no others.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from dataset.audio import Recording, open_recording
from reports.media import write_cloud_script
from utils.files import finite
from utils.seeding import generator

SCENE_HTML = "scene.html"
STATIC = Path(__file__).resolve().parent / "static" / "scene"
PIECE_S = 5  # sound in one script
MOST_POINTS = 200_000  # points shown of all clouds together
RATES_HZ = (8000, 48000)  # rates that every browser's AudioContext takes

Track = list[tuple[float, np.ndarray]]  # seconds and place [3] in metres
Clouds = dict[str, tuple[np.ndarray, np.ndarray | None]]


@dataclass(frozen=True)
class SceneView:
    """What a scene is beside its clouds. floor_m: the y of the floor. tracks: of those that move, name -> track."""

    floor_m: float = 0.0
    tracks: dict[str, Track] = field(default_factory=dict)


def three_js() -> Path | None:
    """three.js as the package pythreejs brings it along, or None where that is not installed."""
    found = importlib.util.find_spec("pythreejs")
    path = Path(found.origin).parent / "static" / "three.js" if found and found.origin else None
    return path if path and path.is_file() else None


def write_scene_page(
    folder: Path, title: str, mixture: Path, stems: dict[str, Path], clouds: Clouds, view: SceneView
) -> None:
    """Writes `scene.html` and the folder `scene/` with all that it loads.

    Args:
        folder: of the recording's page, while it is written.
        mixture: the recording.
        stems: name -> WAV file of the recording's rate and length; those without a cloud are not heard.
        clouds: name -> points `[P, 3]` in metres, Y up, and colours `[P, 3]` in 0..1; all in one space.
        view: the floor, and who moves.

    Raises:
        InputError: a recording cannot be read.
    """
    parts = folder / "scene"
    parts.mkdir()
    for path in STATIC.iterdir():
        shutil.copyfile(path, folder / path.name if path.name == SCENE_HTML else parts / path.name)
    shutil.copyfile(three_js(), parts / "three.js")
    share = MOST_POINTS // len(clouds)
    for n, (xyz, rgb) in enumerate(clouds.values(), 1):
        order = generator(0, n).permutation(len(xyz))  # the first points are of the whole cloud, as a page draws them
        colours = None if rgb is None else rgb[order]
        write_cloud_script(parts / f"cloud{n}.js", f"cloud{n}.js", xyz[order], colours, most_points=share)
    with ExitStack() as stack:
        tracks = [
            stack.enter_context(open_recording(str(path))) for path in (mixture, *(stems[name] for name in clouds))
        ]
        rate_hz = int(np.clip(tracks[0].rate_hz, *RATES_HZ))
        num_samples = tracks[0].length_at(rate_hz)
        _write_pieces(parts, tracks, rate_hz, num_samples)
    musicians = []
    for n, (name, (xyz, _)) in enumerate(clouds.items(), 1):
        place_m = xyz.mean(axis=0, dtype=np.float64).round(4).tolist()
        track = [[seconds, *map(float, place)] for seconds, place in view.tracks.get(name, [])]
        musicians.append({"name": name, "place_m": place_m, "cloud": f"cloud{n}.js", "track": track})
    scene = {
        "title": title,
        "rate_hz": rate_hz,
        "num_samples": num_samples,
        "piece_samples": PIECE_S * rate_hz,
        "floor_m": view.floor_m,
        "musicians": musicians,
    }
    (parts / "data.js").write_text(f"window.SCENE = {json.dumps(finite(scene))};\n", encoding="utf-8")


def _write_pieces(folder: Path, tracks: list[Recording], rate_hz: int, num_samples: int) -> None:
    """Writes `piece0.js`, ...: the recording, one channel or two, and after it the stems, mono."""
    length = PIECE_S * rate_hz
    for number, start in enumerate(range(0, num_samples, length)):
        packed = []
        for n, track in enumerate(tracks):
            is_mono = n > 0 or track.num_channels > 2
            samples = track.read(start, min(length, num_samples - start), rate_hz, mono=is_mono)  # [channels, n]
            scale = max(1.0, float(np.abs(samples).max()))  # what is beyond full scale stays whole
            file = io.BytesIO()
            soundfile.write(file, (samples / scale).T, rate_hz, format="FLAC", subtype="PCM_16")
            packed.append([scale, base64.b64encode(file.getvalue()).decode()])
        script = f"scenePiece({number}, {json.dumps(packed)});\n"
        (folder / f"piece{number}.js").write_text(script, encoding="utf-8")
