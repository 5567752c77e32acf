"""A recording of any length, window by window: read, separated, cross-faded, and resampled to its own rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from dataset.audio import cut_window
from utils.resampling import fit, resample

OVERLAP = 0.5  # share of a window that the next one hears too: all but the ends of a recording is heard twice


class Source(Protocol):
    """What can be separated: a `dataset.audio.Recording` or a `Waveform`."""

    rate_hz: int
    num_channels: int
    num_samples: int

    def length_at(self, rate_hz: int) -> int:
        """Samples at `rate_hz`."""

    def read(self, start: int, length: int, rate_hz: int, mono: bool = False) -> np.ndarray:
        """Samples `start .. start + length` at `rate_hz`, `[channels, length]`; `mono`: their mean `[1, length]`."""


class Waveform:
    """Samples `[channels, L]` in memory, read as a `dataset.audio.Recording` is."""

    def __init__(self, samples: np.ndarray, rate_hz: int):
        self.rate_hz, (self.num_channels, self.num_samples) = rate_hz, samples.shape
        self._at_rate = {rate_hz: samples}

    def length_at(self, rate_hz: int) -> int:
        """Samples at `rate_hz`."""
        return -(-self.num_samples * rate_hz // self.rate_hz)

    def read(self, start: int, length: int, rate_hz: int, mono: bool = False) -> np.ndarray:
        """Samples `start .. start + length` at `rate_hz`, `[channels, length]`; the beginning follows the end."""
        if rate_hz not in self._at_rate:
            blocks = resample([self._at_rate[self.rate_hz]], self.rate_hz, rate_hz)
            self._at_rate[rate_hz] = np.concatenate(list(fit(blocks, self.length_at(rate_hz))), axis=-1)
        window = cut_window(self._at_rate[rate_hz], start, length)
        return window.mean(axis=0, keepdims=True) if mono else window


class StemStream:
    """The stems of a recording, one piece for each window: its length is the number of windows.

    Iterating yields `[N, channels, n]` float32 at the recording's own rate; all n add up to its samples. Neighbouring
    windows share half of their samples and are cross-faded there. A recording that is shorter than a window is
    repeated to fill it, as in training.

    Args:
        source: what is separated.
        separate_window: `[channels, window]` -> `[N, channels, window]`, at `rate_hz`.
        window: samples. rate_hz: of the model.
    """

    def __init__(self, source: Source, separate_window: Callable[[np.ndarray], np.ndarray], window: int, rate_hz: int):
        self.source, self.separate_window, self.window, self.rate_hz = source, separate_window, window, rate_hz
        self.starts = windows_of(source, window, rate_hz)

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[np.ndarray]:
        yield from fit(resample(self._stems(), self.rate_hz, self.source.rate_hz), self.source.num_samples)

    def _stems(self) -> Iterator[np.ndarray]:
        """Pieces `[N, channels, n]` at the model's rate."""
        total, done = self.source.length_at(self.rate_hz), 0
        tail: np.ndarray | None = None  # what a window gives beyond the start of the next
        for start, following in zip(self.starts, [*self.starts[1:], total], strict=True):
            mixture = self.source.read(start, self.window, self.rate_hz)
            stems = self.separate_window(mixture)[..., done - start : total - start]
            if tail is not None:
                shared = tail.shape[-1]
                rise = (np.arange(shared, dtype=np.float32) + 0.5) / shared
                stems[..., :shared] = (1 - rise) * tail + rise * stems[..., :shared]
            # The last window may begin before the one that was due: then the cross-fade is where it would have been.
            whole = max(following, done) - done
            yield stems[..., :whole]
            tail, done = stems[..., whole:], done + whole


def windows_of(source: Source, window: int, rate_hz: int) -> list[int]:
    """Where the windows of a recording start, in samples at `rate_hz`."""
    return window_starts(source.length_at(rate_hz), window, window - round(OVERLAP * window))


def window_starts(total: int, window: int, hop: int) -> list[int]:
    """Starts of windows that cover `total` samples: every `hop`, the last so that it ends with the recording."""
    last = max(total - window, 0)
    return [*range(0, last, hop), last]
