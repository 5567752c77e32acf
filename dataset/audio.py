"""Recordings: any sound file -> windows at one sampling rate, decoding only what the window needs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import soxr

from dataset.decoders import Decoder, decoded_blocks, open_decoder, truncated
from utils.errors import InputError

RESAMPLER_MARGIN_S = 0.1  # decoded on either side of a window that is resampled: longer than the filter


class NotFiniteError(InputError):
    """A recording that holds NaN or infinite samples."""


class Recording:
    """An open audio file of any rate and number of channels, decoded only where it is read.

    Attributes:
        rate_hz, num_channels: of the file itself.
    """

    def __init__(self, path: str, decoder: Decoder):
        self.path, self._decoder = path, decoder
        self.rate_hz, self.num_channels = decoder.rate_hz, decoder.num_channels

    @property
    def num_samples(self) -> int:
        """Samples of the file itself, exactly as many as decoding all of it gives."""
        return self._decoder.num_samples

    @property
    def lost(self) -> int:
        """How many packets could not be decoded and were left out, in the part that has been read so far."""
        return self._decoder.lost

    def length_at(self, rate_hz: int) -> int:
        """Samples of the recording at `rate_hz`; raises InputError if it is too short for one sample."""
        if 2 * self.num_samples * rate_hz < self.rate_hz:
            raise too_short(self.path, rate_hz)
        return math.ceil(self.num_samples * rate_hz / self.rate_hz)

    def blocks(self) -> Iterator[np.ndarray]:
        """All of the recording at its own rate, mono, in blocks `[samples]` float32; raises InputError as `read`."""
        for block in decoded_blocks(self._decoder):
            yield self._finite(_mixed(block, mono=True)[0])

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
        return self._finite(waves)

    def _finite(self, waves: np.ndarray) -> np.ndarray:
        if not np.isfinite(waves).all():
            raise NotFiniteError(f"{self.path}: holds NaN or infinite samples")
        return waves

    def _read_resampled(self, start: int, length: int, rate_hz: int, mono: bool) -> np.ndarray:
        """A window that does not reach beyond the end of the recording.

        Output sample i lies at sample `i * down / up` of the file. Decoding starts at a multiple of `down`, where an
        output sample coincides with a sample of the file, so that the window has the same phase as the whole recording.
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
        samples = self._decoder.read(start, stop)
        if len(samples) < stop - start:
            raise truncated(self._decoder)
        return _mixed(samples, mono)


@contextmanager
def open_recording(path: str) -> Iterator[Recording]:
    """A recording to read from.

    Raises:
        InputError: the file is missing, not audio, or holds no samples.
    """
    with open_decoder(path) as decoder:
        yield Recording(path, decoder)


def _mixed(samples: np.ndarray, mono: bool) -> np.ndarray:
    """`[samples, channels]` -> `[channels, samples]`, or their mean `[1, samples]`."""
    if not mono or samples.shape[1] == 1:
        return samples.T
    with np.errstate(over="ignore", invalid="ignore"):  # not finite then, which is refused
        return samples.mean(axis=1)[None]


def recording_rate(path: str) -> int:
    """The recording's own sampling rate in Hz; raises InputError as `open_recording`."""
    with open_recording(path) as recording:
        return recording.rate_hz


def recording_length(path: str, rate_hz: int) -> int:
    """Samples of the recording at `rate_hz`, exactly; raises InputError as `open_recording`."""
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


def too_short(path: str, rate_hz: int) -> InputError:
    """The error for a recording so short that no sample is left after resampling."""
    return InputError(f"{path}: too short for one sample at {rate_hz} Hz")


def cut_window(wave: np.ndarray, start: int, length: int) -> np.ndarray:
    """A copy of samples `start .. start + length` of a whole recording `[..., L]`, which is repeated from its
    beginning.
    """
    if start + length <= wave.shape[-1]:
        return wave[..., start : start + length].copy()
    return wave[..., np.arange(start, start + length) % wave.shape[-1]]
