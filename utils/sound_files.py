"""Sound files that are written piece by piece, of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from utils.errors import InputError
from utils.files import replacing

BYTES = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}  # of a sample
SUBTYPES = {  # of each format, the default first
    "wav": ("FLOAT", "PCM_16", "PCM_24", "PCM_32", "DOUBLE"),
    "flac": ("PCM_24", "PCM_16"),
}
MOST_CHANNELS = {"wav": 1024, "flac": 8}
MOST_HZ = {"wav": 2**31 - 1, "flac": 655_350}
WHOLE_HZ = 65_535  # FLAC has rates above this in tens alone
MOST_BYTES = 2**32 - 2**16  # of samples in a WAV file; its 64-bit form RF64 holds more


@dataclass(frozen=True)
class Encoding:
    """How samples are stored.

    format: one of SUBTYPES. subtype: one of those of the format, in soundfile's names. names_speakers: whether a WAV
    file up to 4 GB says which loudspeaker each channel is for: left and right, or those of 5.1.
    """

    format: str = "wav"
    subtype: str = "FLOAT"
    names_speakers: bool = False

    def __post_init__(self) -> None:
        known = SUBTYPES[self.format]
        if self.subtype not in known:
            raise InputError(f"--subtype {self.subtype}: {self.format} files have {', '.join(known)}")

    @property
    def clips(self) -> bool:
        """Whether samples beyond full scale are cut to it."""
        return self.subtype.startswith("PCM")


FLOAT_WAV = Encoding()


@contextmanager
def writing_sound(
    path: str | Path, rate_hz: int, num_channels: int, num_samples: int, encoding: Encoding = FLOAT_WAV
) -> Iterator[Callable[[np.ndarray], None]]:
    """Yields a function that appends samples `[channels, n]`; the file appears at `path` once all went well.

    Args:
        num_samples: how many will be written; more than 4 GB of them make an RF64 file instead of WAV.
        encoding: 32-bit floats by default, which keep values beyond full scale.

    Raises:
        InputError: the format has no such rate or number of channels.
        WriteError: the folder cannot be written or the disk is full; an earlier file at `path` is still there.
    """
    most_channels, most_hz = MOST_CHANNELS[encoding.format], MOST_HZ[encoding.format]
    if num_channels > most_channels or rate_hz > most_hz:
        what = f"{num_channels} channels" if num_channels > most_channels else f"{rate_hz} Hz"
        limits = f"at most {most_channels} channels and {most_hz} Hz"
        raise InputError(f"{path}: {what}, and {encoding.format} files have {limits}; choose another --format")
    if encoding.format == "flac" and rate_hz > WHOLE_HZ and rate_hz % 10:
        limits = f"rates above {WHOLE_HZ} Hz in tens alone"
        raise InputError(f"{path}: {rate_hz} Hz, and flac files have {limits}; choose another --format")
    kind = encoding.format.upper()
    if kind == "WAV" and num_samples * num_channels * BYTES[encoding.subtype] > MOST_BYTES:
        kind = "RF64"
    elif kind == "WAV" and encoding.names_speakers:
        kind = "WAVEX"
    with replacing(path) as temporary, open(temporary, "wb") as file:
        sink = _Sink(file)
        try:
            sound = soundfile.SoundFile(sink, "w", rate_hz, num_channels, format=kind, subtype=encoding.subtype)
        except soundfile.LibsndfileError as error:
            sink.check()
            raise InputError(f"{path}: cannot be written as {encoding.format} ({error.error_string})") from error
        with sound:

            def append(samples: np.ndarray) -> None:
                try:
                    sound.write(samples.T)
                finally:
                    sink.check()

            yield append
        sink.check()


class _Sink:
    """The file that soundfile writes to, which keeps the reason of an error that soundfile would not report."""

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
        """Raises the OSError that occurred while writing, if there was one."""
        if self.error:
            raise self.error
