"""Recordings: any file soundfile reads -> mono windows at one rate, decoding only what the window needs."""

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


def recording_rate(path: str) -> int:
    """The recording's own sampling rate in Hz, read from its header; raises InputError as `recording_length`."""
    with _opened(path) as file:
        return file.samplerate


def recording_length(path: str, rate_hz: int) -> int:
    """Samples of the recording at `rate_hz`, read from its header.

    Raises:
        InputError: the file is missing, not audio, or holds no samples.
    """
    with _opened(path) as file:
        return _length_at(file, rate_hz)


def read_window(path: str, start: int, length: int, rate_hz: int) -> np.ndarray:
    """Mono samples `start .. start + length` of a recording at `rate_hz`: `[length]` float32.

    Channels are averaged. A recording that ends earlier starts over, so any window is full.

    Raises:
        InputError: the file is missing, truncated or not audio, or (NotFiniteError) holds NaN or infinite samples.
    """
    with _opened(path) as file:
        total = _length_at(file, rate_hz)
        if start + length <= total:
            wave = _read_resampled(file, path, start, length, rate_hz)
        else:
            wave = cut_window(_read_resampled(file, path, 0, total, rate_hz), start, length)
    if not np.isfinite(wave).all():
        raise NotFiniteError(f"{path}: holds NaN or infinite samples")
    return wave


def cut_window(wave: np.ndarray, start: int, length: int) -> np.ndarray:
    """A copy of samples `start .. start + length` of a whole recording `[L]`, which starts over at its end."""
    if start + length <= len(wave):
        return wave[start : start + length].copy()
    return wave[np.arange(start, start + length) % len(wave)]


def _length_at(file: soundfile.SoundFile, rate_hz: int) -> int:
    return math.ceil(file.frames * rate_hz / file.samplerate)


def _read_resampled(file: soundfile.SoundFile, path: str, start: int, length: int, rate_hz: int) -> np.ndarray:
    """The window at `rate_hz`, equal to the same slice of the whole recording resampled.

    Output sample i lies at `i * down / up` samples of the file. Decoding starts at a multiple of `down`, an output
    sample that falls on a sample of the file, so that the window has the whole recording's phase.
    """
    if file.samplerate == rate_hz:
        return _read_mono(file, path, start, start + length)
    divisor = math.gcd(file.samplerate, rate_hz)
    up, down = rate_hz // divisor, file.samplerate // divisor
    margin = math.ceil(RESAMPLER_MARGIN_S * divisor)  # in blocks of `up` output samples
    first = max(0, start // up - margin)
    last = math.ceil((start + length) / up) + margin
    native = _read_mono(file, path, first * down, min(last * down, file.frames))
    wave = soxr.resample(native, file.samplerate, rate_hz, quality="VHQ")[start - first * up :][:length]
    return np.pad(wave, (0, length - len(wave)))


def _read_mono(file: soundfile.SoundFile, path: str, start: int, stop: int) -> np.ndarray:
    try:
        with _quiet_decoder():
            anchor = _decoder_start(file, start)
            file.seek(anchor)
            samples = file.read(stop - anchor, dtype="float32", always_2d=True)[start - anchor :]  # [L, channels]
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path}: cannot be decoded ({error.error_string})") from error
    if len(samples) < stop - start:
        raise InputError(f"{path}: ends before the {file.frames} samples its header tells of; the file is truncated")
    if samples.shape[1] == 1:
        return samples[:, 0]
    with np.errstate(over="ignore"):  # infinite then, which the caller refuses
        return samples.mean(axis=1)


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
def _opened(path: str) -> Iterator[soundfile.SoundFile]:
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
        yield file


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
