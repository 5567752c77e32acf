"""What a separation looks and sounds like: wav files, pictures of magnitudes and masks, the musicians' clouds."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import matplotlib
import numpy as np
import soundfile
from PIL import Image

from utils.files import replacing

QUIET_DB = -60.0  # magnitudes this far below the loudest of the mixture are black


def write_separation(
    folder: Path,
    rate_hz: int,
    waves: dict[str, np.ndarray],
    magnitudes: dict[str, np.ndarray],
    masks: dict[str, np.ndarray],
    clouds: dict[str, str],
) -> None:
    """Writes the sounds, pictures and clouds of one mixture into `folder`.

    Args:
        waves: name -> `[L]` in -1..1, written as `<name>.wav`.
        magnitudes: name -> `[F', T]`, written as `<name>.jpg` on the decibel scale of the one named `mix`.
        masks: name -> `[F', T]` from 0 (black) to 1 and above (white), written as `<name>.jpg`.
        clouds: name -> path of a PLY file, copied as `<name>.ply`.
    """
    for name, wave in waves.items():
        sound = io.BytesIO()  # soundfile would not say why a file cannot be written
        soundfile.write(sound, wave, rate_hz, format="WAV", subtype="PCM_16")
        with replacing(folder / f"{name}.wav") as temporary:
            temporary.write_bytes(sound.getvalue())
    loudest = magnitudes["mix"].max()
    for name, magnitude in magnitudes.items():
        level_db = 20 * np.log10(np.maximum(magnitude, 1e-10) / max(loudest, 1e-10))
        _write_picture(folder / f"{name}.jpg", 1 - level_db / QUIET_DB, "magma")
    for name, mask in masks.items():
        _write_picture(folder / f"{name}.jpg", mask, "gray")
    for name, path in clouds.items():
        with replacing(folder / f"{name}.ply") as temporary:
            shutil.copyfile(path, temporary)


def _write_picture(path: Path, values: np.ndarray, colour_map: str) -> None:
    """A picture of `[F', T]` values in 0..1, low frequencies at the bottom."""
    pixels = matplotlib.colormaps[colour_map](np.flipud(values).clip(0, 1), bytes=True)[..., :3]
    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, quality=90)
