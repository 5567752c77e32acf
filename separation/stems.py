"""Stems on disk."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from separation.stream import Source
from utils.wav import writing_wav


def write_stems(
    pieces: Iterable[np.ndarray], source: Source, paths: list[Path], residual: Path | None = None
) -> list[float]:
    """Writes a WAV file for each of N stems, at the rate and length of the recording they come from.

    Args:
        pieces: `[N, channels, n]`, as a `StemStream` yields them.
        source: the recording.
        paths: of the N files; none is there before all are whole.
        residual: a file for what is left of the recording without its stems.

    Returns:
        The energy of each stem, and of the residual last, in dB of the recording's.

    Raises:
        WriteError: a file cannot be written.
        InputError: from `pieces` and `source`.
    """
    files, done = [*paths, *([] if residual is None else [residual])], 0
    energy, total = np.zeros(len(paths) + 1), 0.0
    with ExitStack() as stack:
        writers = [
            stack.enter_context(writing_wav(path, source.rate_hz, source.num_channels, source.num_samples))
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
            total += np.square(mixture, dtype=np.float64).sum()
    with np.errstate(divide="ignore"):
        return (10 * np.log10(energy / max(total, 1e-30))).tolist()
