"""A recording of any length as two narrow pictures: its waveform and its spectrogram."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from dataset.audio import Recording

COLUMNS = 1200
WAVE_ROWS, SPECTRUM_ROWS = 96, 256
FRAME_S = 0.09  # sound that one column of the spectrogram shows
LOWEST_HZ, HIGHEST_HZ = 40.0, 20_000.0
RANGE_DB = 70.0
WAVE_COLOUR = (47, 109, 181)


def measure(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Reads a recording once, column by column; its channels are averaged.

    Returns:
        lowest and highest sample `[2, columns]`; magnitudes `[256, columns]`, evenly spaced in the logarithm of the
        frequency from 40 Hz to `highest_hz`, low ones first.
    """
    rate_hz, total = recording.rate_hz, recording.num_samples
    frame = max(16, round(FRAME_S * rate_hz))
    window = np.hanning(frame)
    bins = np.fft.rfftfreq(frame, 1 / rate_hz)
    rows_hz = np.geomspace(LOWEST_HZ, highest_hz(rate_hz), SPECTRUM_ROWS)
    edges = np.linspace(0, total, min(COLUMNS, total) + 1).round().astype(int).tolist()
    extremes, magnitudes = [], []
    for start, end in zip(edges, edges[1:], strict=False):
        first = max(0, min((start + end - frame) // 2, total - frame))  # a frame's, whole within the recording
        begin = min(start, first)
        wave = recording.read(begin, min(max(end, first + frame), total) - begin, rate_hz, mono=True)[0]
        extremes.append((wave[start - begin : end - begin].min(), wave[start - begin : end - begin].max()))
        wave = wave[first - begin :][:frame]
        spectrum = np.abs(np.fft.rfft(window * np.pad(wave, (0, frame - len(wave)))))
        magnitudes.append(np.interp(rows_hz, bins, spectrum))
    return np.array(extremes).T, np.array(magnitudes).T


def highest_hz(rate_hz: int) -> float:
    """The frequency at the top of a spectrogram."""
    return max(min(HIGHEST_HZ, rate_hz / 2), 2 * LOWEST_HZ)


def draw_wave(extremes: np.ndarray, loudest: float, path: Path) -> None:
    """Writes lowest and highest samples `[2, columns]` as a PNG, full height at `loudest`, the rest transparent."""
    low, high = extremes / max(loudest, 1e-9)
    level = np.linspace(1, -1, WAVE_ROWS)[:, None]
    inside = (level <= high + 1 / WAVE_ROWS) & (level >= low - 1 / WAVE_ROWS)
    pixels = np.zeros((*inside.shape, 4), dtype=np.uint8)
    pixels[inside] = (*WAVE_COLOUR, 255)
    Image.fromarray(pixels).save(path)


def draw_spectrum(magnitudes: np.ndarray, loudest: float, path: Path) -> None:
    """Writes magnitudes `[256, columns]` as a JPEG, decibels below `loudest`, low frequencies at the bottom."""
    level_db = 20 * np.log10(np.maximum(magnitudes, 1e-12) / max(loudest, 1e-12))
    pixels = matplotlib.colormaps["magma"](np.flipud(1 + level_db / RANGE_DB).clip(0, 1), bytes=True)[..., :3]
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, quality=88)
