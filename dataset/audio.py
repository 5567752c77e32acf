"""Recordings: any file soundfile reads -> windows at one rate, decoding only what the window needs."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import soundfile
import soxr

from utils.errors import InputError

LOSSY_FORMATS = ("MP3", "MPEG", "OGG")
DECODER_WARM_UP = 16 * 1152  # samples; an mp3 frame draws on bits of earlier frames, 511 bytes back at most,
LOW_RATE_WARM_UP = 16 * 576  # or 255 at low rates, whose frames are shorter
LOW_RATE_HZ = 24_000  # the highest of MPEG-2 and 2.5
OGG_LAST_PAGE = 2**18  # samples; seeking into the last page misses, and a page holds at most 255 blocks of 1024
RESAMPLER_MARGIN_S = 0.1  # decoded on either side of a window that is resampled: longer than the filter


class NotFiniteError(InputError):
    """A recording that holds NaN or infinite samples."""


class Recording:
    """An open audio file of any rate and number of channels, decoded only where it is read.

    Attributes:
        rate_hz, num_channels, num_samples: of the file itself, from its header.
    """

    def __init__(self, path: str, file: soundfile.SoundFile):
        self.path, self._file = path, file
        self.rate_hz, self.num_channels, self.num_samples = file.samplerate, file.channels, file.frames

    def length_at(self, rate_hz: int) -> int:
        """Samples of the recording at `rate_hz`."""
        return math.ceil(self.num_samples * rate_hz / self.rate_hz)

    def read(self, start: int, length: int, rate_hz: int, mono: bool = False) -> np.ndarray:
        """Samples `start .. start + length` at `rate_hz`: `[channels, length]` float32.

        They equal the same slice of the whole recording resampled. A recording that ends earlier starts over, so any
        window is full.

        Args:
            mono: average the channels: `[1, length]`.

        Raises:
            InputError: the file is truncated or damaged, or (NotFiniteError) holds NaN or infinite samples.
        """
        total = self.length_at(rate_hz)
        if start + length <= total:
            waves = self._read_resampled(start, length, rate_hz, mono)
        else:
            waves = cut_window(self._read_resampled(0, total, rate_hz, mono), start, length)
        if not np.isfinite(waves).all():
            raise NotFiniteError(f"{self.path}: holds NaN or infinite samples")
        return waves

    def _read_resampled(self, start: int, length: int, rate_hz: int, mono: bool) -> np.ndarray:
        """The window of a recording that does not end before it.

        Output sample i lies at `i * down / up` samples of the file. Decoding starts at a multiple of `down`, an output
        sample that falls on a sample of the file, so that the window has the whole recording's phase.
        """
        if self.rate_hz == rate_hz:
            return self._decode(start, start + length, mono)
        divisor = math.gcd(self.rate_hz, rate_hz)
        up, down = rate_hz // divisor, self.rate_hz // divisor
        margin = math.ceil(RESAMPLER_MARGIN_S * divisor)  # in blocks of `up` output samples
        first = max(0, start // up - margin)
        last = math.ceil((start + length) / up) + margin
        native = self._decode(first * down, min(last * down, self.num_samples), mono)
        waves = soxr.resample(native.T, self.rate_hz, rate_hz, quality="VHQ")[start - first * up :][:length]
        return np.pad(waves, ((0, length - len(waves)), (0, 0))).T

    def _decode(self, start: int, stop: int, mono: bool) -> np.ndarray:
        """Samples `start .. stop` of the file itself: `[channels, L]`, or `[1, L]`."""
        try:
            with _quiet_decoder():
                anchor = _decoder_start(self._file, start)
                self._file.seek(anchor)
                samples = self._file.read(stop - anchor, dtype="float32", always_2d=True)[start - anchor :]
        except soundfile.LibsndfileError as error:
            raise InputError(f"{self.path}: cannot be decoded ({error.error_string})") from error
        if len(samples) < stop - start:
            raise InputError(
                f"{self.path}: ends before the {self.num_samples} samples its header tells of; the file is truncated"
            )
        if not mono or self.num_channels == 1:
            return samples.T
        with np.errstate(over="ignore"):  # infinite then, which the caller refuses
            return samples.mean(axis=1)[None]


@contextmanager
def open_recording(path: str) -> Iterator[Recording]:
    """A recording to read from.

    Raises:
        InputError: the file is missing, not audio, or holds no samples.
    """
    try:
        with _quiet_decoder():
            file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, OSError, TypeError) as error:  # TypeError: a .raw file without a format
        reason = str(getattr(error, "error_string", error))
        if not os.path.isfile(path):
            reason = "no such file"
        elif not os.path.getsize(path):
            reason = "the file is empty"
        elif reason.startswith("File does not exist"):  # what libsndfile says when an mp3 has no frames
            reason = "no frames of audio in it"
        raise InputError(f"{path}: cannot be read as audio ({reason})") from error
    with file:
        if file.frames <= 0:
            raise InputError(f"{path}: the recording holds no samples")
        yield Recording(path, file)


def recording_rate(path: str) -> int:
    """The recording's own sampling rate in Hz, read from its header; raises InputError as `open_recording`."""
    with open_recording(path) as recording:
        return recording.rate_hz


def recording_length(path: str, rate_hz: int) -> int:
    """Samples of the recording at `rate_hz`, read from its header; raises InputError as `open_recording`."""
    with open_recording(path) as recording:
        return recording.length_at(rate_hz)


def read_window(path: str, start: int, length: int, rate_hz: int) -> np.ndarray:
    """Mono samples `start .. start + length` of a recording at `rate_hz`: `[length]` float32.

    Channels are averaged. A recording that ends earlier starts over, so any window is full.

    Raises:
        InputError: as `open_recording` and `Recording.read`.
    """
    with open_recording(path) as recording:
        return recording.read(start, length, rate_hz, mono=True)[0]


def cut_window(wave: np.ndarray, start: int, length: int) -> np.ndarray:
    """A copy of samples `start .. start + length` of a whole recording `[..., L]`, which starts over at its end."""
    if start + length <= wave.shape[-1]:
        return wave[..., start : start + length].copy()
    return wave[..., np.arange(start, start + length) % wave.shape[-1]]


def _decoder_start(file: soundfile.SoundFile, start: int) -> int:
    """Where decoding must begin for sample `start` to be right; files that are not compressed start there."""
    if file.format not in LOSSY_FORMATS:
        return start
    is_short = file.format != "OGG" and file.samplerate <= LOW_RATE_HZ
    start -= LOW_RATE_WARM_UP if is_short else DECODER_WARM_UP
    if file.format == "OGG":
        start = min(start, file.frames - OGG_LAST_PAGE)
    return max(0, start)


@contextmanager
def _quiet_decoder() -> Iterator[None]:
    """Keeps what the mp3 decoder prints to standard error off the user's terminal."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
