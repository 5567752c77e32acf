"""What a separation looks and sounds like: wav files, pictures of magnitudes and masks, the musicians' clouds."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import soundfile
from PIL import Image

from utils.files import replacing

QUIET_DB = -60.0  # magnitudes this far below the loudest of the mixture are black
SILENT = 1e-10  # keeps the decibels of nothing finite
ESTIMATE = "pred"  # begins the names of what the model made; all else is the same whatever the model


@dataclass(frozen=True)
class Shown:
    """What there is to hear and see of one mixture, under the names of its files.

    waves: name -> `[L]` in -1..1. pictures: name -> `[F', T, 3]` uint8, low frequencies at the bottom. clouds: name ->
    path of a PLY file.
    """

    rate_hz: int
    waves: dict[str, np.ndarray]
    pictures: dict[str, np.ndarray]
    clouds: dict[str, str]

    def estimates(self) -> Shown:
        """The part of it that the model made."""
        parts = (self.waves, self.pictures, self.clouds)
        kept = [{name: part[name] for name in part if name.startswith(ESTIMATE)} for part in parts]
        return Shown(self.rate_hz, *kept)


def draw_separation(
    rate_hz: int,
    mixture: np.ndarray,
    sources: np.ndarray,
    estimates: np.ndarray,
    magnitude: np.ndarray,
    weight: np.ndarray,
    targets: np.ndarray,
    masks: np.ndarray,
    clouds: list[list[str]],
) -> Shown:
    """What there is to hear and see of a mixture of N sources.

    Args:
        mixture: waveform `[L]`; so are each of the `sources` and `estimates`, `[N, L]`.
        magnitude: of the mixture, `[F', T]`; drawn on a decibel scale from its largest value, and so are its parts.
        weight: of the loss, `[F', T]` in 0..1.
        targets, masks: `[N, F', T]`, drawn from 0 (black) to 1 and above (white).
        clouds: the paths of the K frames of each source.
    """
    waves, magnitudes, levels, files = {"mix": mixture}, {"mix": magnitude}, {"weight": weight}, {}
    for n, paths in enumerate(clouds):
        waves |= {f"gt{n + 1}": sources[n], f"{ESTIMATE}{n + 1}": estimates[n]}
        magnitudes |= {f"gtamp{n + 1}": targets[n] * magnitude, f"{ESTIMATE}amp{n + 1}": masks[n] * magnitude}
        levels |= {f"gtmask{n + 1}": targets[n], f"{ESTIMATE}mask{n + 1}": masks[n]}
        files |= {f"point{n + 1}_frame{k}": path for k, path in enumerate(paths, 1)}
    loudest = max(magnitude.max(), SILENT)
    levels_db = {name: 20 * np.log10(np.maximum(part, SILENT) / loudest) for name, part in magnitudes.items()}
    pictures = {name: _paint(1 - level_db / QUIET_DB, "magma") for name, level_db in levels_db.items()}
    pictures |= {name: _paint(level, "gray") for name, level in levels.items()}
    return Shown(rate_hz, waves, pictures, files)


def _paint(values: np.ndarray, colour_map: str) -> np.ndarray:
    """Values `[F', T]` in 0..1, low frequencies first -> pixels `[F', T, 3]` uint8, low frequencies at the bottom."""
    return matplotlib.colormaps[colour_map](np.flipud(values).clip(0, 1), bytes=True)[..., :3]


def write_separation(folder: Path, shown: Shown) -> None:
    """Writes the sounds as `<name>.wav`, the pictures as `<name>.jpg` and the clouds as `<name>.ply` into `folder`."""
    for name, wave in shown.waves.items():
        with replacing(folder / f"{name}.wav") as temporary:
            temporary.write_bytes(encode_wave(wave, shown.rate_hz))
    for name, pixels in shown.pictures.items():
        with replacing(folder / f"{name}.jpg") as temporary:
            temporary.write_bytes(encode_picture(pixels))
    for name, path in shown.clouds.items():
        with replacing(folder / f"{name}.ply") as temporary:
            shutil.copyfile(path, temporary)


def encode_wave(wave: np.ndarray, rate_hz: int) -> bytes:
    """A wav file of 16 bits; in memory, because soundfile would not say why a file cannot be written."""
    sound = io.BytesIO()
    soundfile.write(sound, wave, rate_hz, format="WAV", subtype="PCM_16")
    return sound.getvalue()


def encode_picture(pixels: np.ndarray) -> bytes:
    """A JPEG file."""
    picture = io.BytesIO()
    Image.fromarray(pixels).save(picture, format="JPEG", quality=90)
    return picture.getvalue()
