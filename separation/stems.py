"""Stems on disk."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from separation.stream import Source
from utils.sound_files import FLOAT_WAV, Encoding, writing_sound


class Level(NamedTuple):
    """How loud a stem is: its energy in dB relative to the recording's, and its largest sample, 1 at full scale."""

    energy_db: float
    peak: float


def write_stems(
    pieces: Iterable[np.ndarray],
    source: Source,
    paths: list[Path],
    residual: Path | None = None,
    encoding: Encoding = FLOAT_WAV,
) -> list[Level]:
    """Writes a sound file for each of N stems, at the rate and length of the recording they come from.

    Args:
        pieces: `[N, channels, n]`, as a `StemStream` yields them.
        source: the recording.
        paths: of the N files; they appear when all of them are complete.
        residual: a file for what remains of the recording without its stems.
        encoding: of the files; 32-bit floats in WAV files by default.

    Returns:
        The level of each stem, and last of the residual.

    Raises:
        WriteError: a file cannot be written.
        InputError: from `pieces` and `source`; the format has no such rate or number of channels.
    """
    files, done = [*paths, *([] if residual is None else [residual])], 0
    energy, peaks, total = np.zeros(len(paths) + 1), np.zeros(len(paths) + 1), 0.0
    with ExitStack() as stack:
        writers = [
            stack.enter_context(writing_sound(path, source.rate_hz, source.num_channels, source.num_samples, encoding))
            for path in files
        ]
        for stems in pieces:
            if not stems.shape[-1]:
                continue
            mixture = source.read(done, stems.shape[-1], source.rate_hz)  # [channels, n]
            done += stems.shape[-1]
            parts = [*stems, mixture - stems.sum(axis=0)]
            for write, part in zip(writers, parts, strict=False):
                write(part)
            energy += [np.square(part, dtype=np.float64).sum() for part in parts]
            peaks = np.maximum(peaks, [np.abs(part).max() for part in parts])
            total += np.square(mixture, dtype=np.float64).sum()
    with np.errstate(divide="ignore"):
        energy_db = 10 * np.log10(energy / max(total, 1e-30))
    return [Level(*level) for level in zip(energy_db.tolist(), peaks.tolist(), strict=True)]
