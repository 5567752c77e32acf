"""WAV files that are written piece by piece, of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from utils.files import replacing

MOST_BYTES = 2**32 - 2**16  # of samples in a WAV file; its 64-bit form RF64 holds more


@contextmanager
def writing_wav(
    path: str | Path, rate_hz: int, num_channels: int, num_samples: int
) -> Iterator[Callable[[np.ndarray], None]]:
    """Yields a function that appends samples `[channels, n]`; the file stands at `path` once all went well.

    Samples are 32-bit floats: what goes beyond full scale is kept.

    Args:
        num_samples: how many are to come; more than 4 GB of them make an RF64 file.

    Raises:
        WriteError: the folder cannot be written or the disk is full; what stood at `path` is still there.
    """
    kind = "RF64" if num_samples * num_channels * 4 > MOST_BYTES else "WAV"
    with replacing(path) as temporary, open(temporary, "wb") as file:
        sink = _Sink(file)
        with soundfile.SoundFile(sink, "w", rate_hz, num_channels, format=kind, subtype="FLOAT") as sound:

            def append(samples: np.ndarray) -> None:
                try:
                    sound.write(samples.T)
                finally:
                    sink.check()

            yield append
        sink.check()


class _Sink:
    """The file behind soundfile, which would not say why it cannot be written."""

    def __init__(self, file: BinaryIO):
        self.file, self.error = file, None
        self.seek, self.tell = file.seek, file.tell

    def write(self, data: bytes) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            return 0

    def check(self) -> None:
        """Raises the OSError that writing met, if it did."""
        if self.error:
            raise self.error
