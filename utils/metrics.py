"""BSS Eval v3: how good separated waveforms are (Vincent, Gribonval, Fevotte, IEEE TASLP 2006)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from mir_eval.separation import bss_eval_sources

SILENCE = 1e-5  # a waveform whose absolute sum is not above this cannot be scored


@dataclass(frozen=True)
class Scores:
    """dB, each `[N]`: of the estimates, and SDR of the unprocessed mixture taken for every source."""

    sdr: np.ndarray
    sir: np.ndarray
    sar: np.ndarray
    sdr_mixture: np.ndarray


def bss_eval(sources: np.ndarray, estimates: np.ndarray, mixture: np.ndarray) -> Scores | None:
    """Scores of one mixture, with the 512-tap filters of BSS Eval v3 and no permutation.

    Args:
        sources, estimates: `[N, L]`. mixture: `[L]`.

    Returns:
        The scores; None where a source or an estimate is silent.
    """
    everything = np.concatenate([sources, estimates, mixture[None]]).astype(np.float64)
    if (np.abs(everything).sum(axis=1) <= SILENCE).any():
        return None
    n = len(sources)
    sources, estimates, mixture = everything[:n], everything[n:-1], everything[-1:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # mir_eval 0.8 announces that 0.9 drops the module
        sdr, sir, sar, _ = bss_eval_sources(sources, estimates, compute_permutation=False)
        sdr_mixture = bss_eval_sources(sources, mixture.repeat(n, 0), compute_permutation=False)[0]
    return Scores(sdr, sir, sar, sdr_mixture)
