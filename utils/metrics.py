"""How good separated waveforms are: BSS Eval v3 and SI-SDR, beside those of the unprocessed mixture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from utils.bss_eval import fast_bss_eval, mir_eval_bss_eval, quick_bss_eval

BSS_EVAL = ("fast", "mir_eval")
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
    sources, estimates, mixture = (wave.to(device).double() for wave in (sources, estimates, mixture))
    levels = torch.cat([sources, estimates, mixture.unsqueeze(0)]).abs().sum(dim=-1)  # [2N + 1, B]
    scorable = ((levels > SILENCE) & levels.isfinite()).all(dim=0)  # [B]
    waves = sources.transpose(0, 1), estimates.transpose(0, 1), mixture.unsqueeze(1)  # [B, N, L] twice, [B, 1, L]
    if method == "mir_eval":
        chosen = scorable.tolist()
        numbers = iter(_numbers(mir_eval_bss_eval, *(part[scorable] for part in waves)) if any(chosen) else [])
        return [Scores(*next(numbers).cpu().numpy()) if possible else None for possible in chosen]
    quick = quick_bss_eval(*waves)
    numbers = _numbers(lambda *_: quick[:-1], *waves)
    told = torch.cat([numbers.flatten(1), torch.stack([scorable, quick[-1]], dim=1)], dim=1).cpu()  # waits for a GPU
    numbers, (chosen, failed) = told[:, :-2].view(numbers.shape), told[:, -2:].T.bool()
    for b in (chosen & failed).nonzero().flatten().tolist():
        numbers[b] = _numbers(fast_bss_eval, *(part[b : b + 1] for part in waves))[0].cpu()
    return [Scores(*one.numpy()) if possible else None for one, possible in zip(numbers, chosen.tolist(), strict=True)]


def _numbers(bss_eval: Callable, sources: Tensor, estimates: Tensor, mixture: Tensor) -> Tensor:
    """Of waveforms `[B, N, L]`, `[B, N, L]`, `[B, 1, L]` the numbers of `Scores`, `[B, 6, N]`."""
    sdr, sir, sar, sdr_mixture = bss_eval(sources, estimates, mixture)
    numbers = [sdr, sir, sar, sdr_mixture.squeeze(2), si_sdr(sources, estimates), si_sdr(sources, mixture)]
    return torch.stack(numbers, dim=1)


def si_sdr(source: Tensor, estimate: Tensor) -> Tensor:
    """Scale-invariant SDR in dB (Le Roux, Wisdom, Erdogan, Hershey, ICASSP 2019), `[..., L]`, `[..., L]` -> `[...]`.

    The target is the projection of the estimate on the source. Means are not removed: a constant offset is an error.
    """
    scale = (estimate * source).sum(dim=-1, keepdim=True) / source.square().sum(dim=-1, keepdim=True)
    target = scale * source
    return 10 * torch.log10(target.square().sum(dim=-1) / (estimate - target).square().sum(dim=-1))
