"""The level a model was trained at, and the gain that brings a recording to it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from separation.stream import Source

WINDOWS = 32  # evenly spread windows of a recording from which its level is taken
ACTIVE_DB = -40.0  # frames below this, against the loudest, are pauses
EMPTY_DB = -90.0  # a frequency bin counts as no less than this, against the loudest
HEARD = 0.9  # of half a recording's rate: resampling leaves this alone
SILENT = 1e-10  # mean power of a frame


def training_gain(
    magnitude_of: Callable[[np.ndarray], np.ndarray],
    on_axis: Callable[[np.ndarray], np.ndarray],
    log_magnitude: float,
    source: Source,
    window: int,
    rate_hz: int,
) -> float:
    """The factor that gives a recording the level of the mixtures a model was trained on; 1 for a silent recording.

    The recording's mean log magnitude is brought to that of those mixtures. Pauses do not count. Nor does rounding
    noise, in bins that hold nothing: above half of the recording's own rate the bins just below are taken in their
    place, and elsewhere a bin counts as no less than 90 dB below the loudest.

    Args:
        magnitude_of: waveform `[1, L]` -> magnitude `[F, T]` of its STFT, above 0.
        on_axis: that -> `[F', T]` on the model's frequency axis.
        log_magnitude: the mean over the mixtures of training, which the batch normalisation at the U-Net's input holds.
        window: samples, at `rate_hz`, the model's rate.
    """
    last = max(source.length_at(rate_hz) - window, 0)
    starts = np.unique(np.linspace(0, last, WINDOWS).round().astype(int)).tolist()
    share = HEARD * source.rate_hz / rate_hz  # of the bins, in which a recording of a lower rate has content
    heard = (magnitude_of(source.read(start, window, rate_hz, mono=True)) for start in starts)
    magnitude = np.concatenate([on_axis(_continued(one, share)) for one in heard], axis=1)  # [F', T of all windows]
    power = np.square(magnitude).mean(axis=0)  # [T]
    if power.max() <= SILENT:
        return 1.0
    is_active = power > power.max() * 10 ** (ACTIVE_DB / 10)
    bins = np.log(magnitude[:, is_active]).mean(axis=1)  # [F']
    least = bins.max() + math.log(10) * EMPTY_DB / 20
    return math.exp(log_magnitude - bins.clip(min=least).mean())


def _continued(magnitude: np.ndarray, share: float) -> np.ndarray:
    """Magnitude `[F, T]` of which this share of the bins has content: the uppermost of these go on to the end."""
    top = max(int(share * len(magnitude)), 1)
    if top >= HEARD * len(magnitude):
        return magnitude
    magnitude = magnitude.copy()
    magnitude[top:] = np.median(magnitude[top * 7 // 8 : top], axis=0)
    return magnitude
