"""How good separated waveforms are: BSS Eval v3 and SI-SDR, beside those of the unprocessed mixture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from utils.bss_eval import fast_bss_eval, mir_eval_bss_eval

BSS_EVAL = {"fast": fast_bss_eval, "mir_eval": mir_eval_bss_eval}
SILENCE = 1e-5  # a waveform whose absolute sum is not above this cannot be scored


@dataclass(frozen=True)
class Scores:
    """dB, each `[N]`: of the estimates, and of the unprocessed mixture taken for every source."""

    sdr: np.ndarray
    sir: np.ndarray
    sar: np.ndarray
    sdr_mixture: np.ndarray
    si_sdr: np.ndarray
    si_sdr_mixture: np.ndarray


@torch.no_grad()
def score(sources: Tensor, estimates: Tensor, mixture: Tensor, method: str = "fast") -> list[Scores | None]:
    """Scores of every mixture of a batch, in float64 on the tensors' device (on the CPU if that is MPS).

    Args:
        sources, estimates: `[N, B, L]`. mixture: `[B, L]`.
        method: how BSS Eval is computed, `fast` or `mir_eval`.

    Returns:
        B scores; None for a mixture in which a waveform is silent or not finite.
    """
    device = torch.device("cpu") if mixture.device.type == "mps" else mixture.device  # MPS has no float64
    waves = torch.cat([sources, estimates, mixture.unsqueeze(0)]).transpose(0, 1).to(device).double()  # [B, 2N + 1, L]
    levels = waves.abs().sum(dim=-1)
    scorable = ((levels > SILENCE) & levels.isfinite()).all(dim=1)  # [B]
    if not scorable.any():
        return [None] * len(scorable)
    n = len(sources)
    sources, estimates, mixture = waves[scorable].split([n, n, 1], dim=1)  # [B', N, L], [B', N, L], [B', 1, L]
    sdr, sir, sar, sdr_mixture = BSS_EVAL[method](sources, estimates, mixture)
    numbers = [sdr, sir, sar, sdr_mixture.squeeze(2), si_sdr(sources, estimates), si_sdr(sources, mixture)]
    scored = iter(torch.stack(numbers, dim=1).cpu().numpy())  # B' times [6, N]
    return [Scores(*next(scored)) if possible else None for possible in scorable.tolist()]


def si_sdr(source: Tensor, estimate: Tensor) -> Tensor:
    """Scale-invariant SDR in dB (Le Roux, Wisdom, Erdogan, Hershey, ICASSP 2019), `[..., L]`, `[..., L]` -> `[...]`.

    The target is the projection of the estimate on the source. Means are not removed: a constant offset is an error.
    """
    scale = (estimate * source).sum(dim=-1, keepdim=True) / source.square().sum(dim=-1, keepdim=True)
    target = scale * source
    return 10 * torch.log10(target.square().sum(dim=-1) / (estimate - target).square().sum(dim=-1))
