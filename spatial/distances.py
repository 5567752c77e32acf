"""How far a binaural rendering is from the true one: the STFT distance and the envelope distance.

Both are those of Morgado et al., "Self-supervised generation of spatial audio for 360 degree video" (2018), as papers
on binaural audio report them: the Euclidean distance of the ears' complex spectrograms, and of their Hilbert envelopes,
summed over the ears. They are divided here by the distance of silence from the truth: 0 is the truth, 1 is silence.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.signal import hilbert

from utils.spectrogram import stft

FRAME, HOP = 1024, 256  # samples


def stft_distance(heard: np.ndarray, truth: np.ndarray) -> float:
    """The relative STFT distance of what is heard from the truth, both `[ears, L]`; NaN if the truth is silent."""
    return _distance(*(stft(torch.from_numpy(np.float32(one)), FRAME, HOP).numpy() for one in (heard, truth)))


def envelope_distance(heard: np.ndarray, truth: np.ndarray) -> float:
    """The relative envelope distance of what is heard from the truth, both `[ears, L]`; NaN if the truth is silent."""
    return _distance(*(np.abs(hilbert(np.float64(one), axis=-1)) for one in (heard, truth)))


def _distance(heard: np.ndarray, truth: np.ndarray) -> float:
    difference, whole = (sum(np.linalg.norm(ear) for ear in one) for one in (heard - truth, truth))
    return float(difference / whole) if whole else float("nan")
