"""Sounds, pictures and clouds for a page: compressed and small, as files that a page opened from disk may load."""

from __future__ import annotations

import base64
import json
import math
import os
from pathlib import Path

import numpy as np
import soundfile

from dataset.decoders import decoded_blocks, open_decoder
from utils.resampling import pieces, resample
from utils.spectrogram import WARP_BASE

MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
MP3_COMPRESSION = 0.6  # 0 is best, 1 smallest
MOST_POINTS = 4000  # points shown of a cloud
PIECE = 2**16  # samples that are encoded at a time
TICKS_HZ = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
NARROWEST_TICKS = 0.08  # least share of the axis between two ticks


def write_mp3(source: Path, target: Path) -> None:
    """Compresses a recording of any format, length, rate and number of channels (more than two are averaged).

    Raises:
        InputError: it cannot be read.
    """
    with open_decoder(str(source)) as decoder:
        rate_hz = next((rate for rate in MP3_RATES_HZ if rate >= decoder.rate_hz), MP3_RATES_HZ[-1])
        channels = decoder.num_channels if decoder.num_channels <= 2 else 1
        blocks = (block.T for block in decoded_blocks(decoder))
        with soundfile.SoundFile(
            *(os.fsencode(target), "w", rate_hz, channels),
            format="MP3",
            subtype="MPEG_LAYER_III",
            compression_level=MP3_COMPRESSION,
        ) as mp3:
            for block in pieces(resample(blocks, decoder.rate_hz, rate_hz), PIECE):
                mixed = block if channels == len(block) else block.mean(axis=0, keepdims=True)
                mp3.write(mixed.clip(-1, 1).T)


def write_cloud_script(
    target: Path, name: str, xyz: np.ndarray, rgb: np.ndarray | None, most_points: int = MOST_POINTS
) -> None:
    """A cloud `[P, 3]` in metres with colours `[P, 3]` in 0..1 as a script, the only data that a page from disk may
    load.

    The script holds millimetres from the cloud's centre in 16 bits; of many points an even selection.

    Args:
        name: of the file, as seen from the page.
        most_points: of the cloud that are shown.
    """
    chosen = np.unique(np.linspace(0, len(xyz) - 1, min(len(xyz), most_points)).round().astype(int))
    centre = xyz.mean(axis=0).round(3)
    millimetres = ((xyz[chosen] - centre) * 1000).round().clip(-(2**15), 2**15 - 1).astype("<i2")
    colours = None if rgb is None else _base64((rgb[chosen] * 255).round().astype(np.uint8))
    arguments = [name, centre.astype(float).tolist(), _base64(millimetres), colours]
    target.write_text(f"cloud({', '.join(map(json.dumps, arguments))});\n", encoding="utf-8")


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def ticks_of_spectrogram(nyquist_hz: float, log_freq: bool) -> list[tuple[float, str]]:
    """Positions 0..1 from the bottom of a picture of the model's spectrogram, and labels for the frequencies there."""

    def place(hz: float) -> float:
        share = hz / nyquist_hz
        return math.log(1 + (WARP_BASE - 1) * share) / math.log(WARP_BASE) if log_freq else share

    return _spread([(place(hz), hz) for hz in TICKS_HZ if hz < nyquist_hz])


def ticks_of_octaves(low_hz: float, high_hz: float) -> list[tuple[float, str]]:
    """The same for a picture whose rows are evenly spaced on a logarithmic frequency axis."""
    span = math.log(high_hz / low_hz)
    return _spread([(math.log(hz / low_hz) / span, hz) for hz in TICKS_HZ if low_hz <= hz <= high_hz])


def _spread(ticks: list[tuple[float, float]]) -> list[tuple[float, str]]:
    """Ticks that do not touch, with their labels; the highest label has the unit."""
    kept: list[tuple[float, float]] = []
    for place, hz in ticks:
        if not kept or place - kept[-1][0] >= NARROWEST_TICKS:
            kept.append((place, hz))
    labels = [f"{hz / 1000:g}k" if hz >= 1000 else f"{hz:g}" for _, hz in kept]
    labels[-1:] = [f"{label.removesuffix('k')} {'kHz' if label.endswith('k') else 'Hz'}" for label in labels[-1:]]
    return [(round(place, 4), label) for (place, _), label in zip(kept, labels, strict=True)]
