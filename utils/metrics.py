"""How good separated waveforms are: the list of scores, at the end of this file, and how they are computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from utils.bss_eval import fast_bss_eval, mir_eval_bss_eval, quick_bss_eval

BSS_EVAL = ("fast", "mir_eval")
SILENCE = 1e-5  # a waveform whose absolute sum is not above this cannot be scored


Scores = dict[str, np.ndarray]  # of a mixture: column of COLUMNS -> a number for each source, `[N]`


@dataclass(frozen=True)
class Metric:
    """A score of estimates; everything that shows or stores scores reads this, so a new score is added only here.

    name: of its column. label: for people. compute: (sources `[..., L]`, signals `[..., L]`) -> `[...]`, float64; None
    for those of BSS Eval, which are computed together. of_mixture: whether the unprocessed mixture has it too, in the
    column `<name>_mixture`, and estimates improve on it. unit: "dB" or, for a number without one, "".
    """

    name: str
    label: str
    compute: Callable[[Tensor, Tensor], Tensor] | None = None
    of_mixture: bool = False
    higher_is_better: bool = True
    unit: str = "dB"

    def improvement(self, separated: float, mixture: float) -> float:
        """How much better the estimate is than the mixture: positive where it is better."""
        return separated - mixture if self.higher_is_better else mixture - separated

    @property
    def columns(self) -> tuple[str, ...]:
        return (f"{self.name}_mixture", self.name) if self.of_mixture else (self.name,)


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
        return [_named(next(numbers)) if possible else None for possible in chosen]
    quick = quick_bss_eval(*waves)
    numbers = _numbers(lambda *_: quick[:-1], *waves)
    told = torch.cat([numbers.flatten(1), torch.stack([scorable, quick[-1]], dim=1)], dim=1).cpu()  # waits for a GPU
    numbers, (chosen, failed) = told[:, :-2].view(numbers.shape), told[:, -2:].T.bool()
    for b in (chosen & failed).nonzero().flatten().tolist():
        numbers[b] = _numbers(fast_bss_eval, *(part[b : b + 1] for part in waves))[0].cpu()
    return [_named(one) if possible else None for one, possible in zip(numbers, chosen.tolist(), strict=True)]


def _named(numbers: Tensor) -> Scores:
    """`[columns, N]` -> the scores by name."""
    return dict(zip(COLUMNS, numbers.cpu().numpy(), strict=True))


def _numbers(bss_eval: Callable, sources: Tensor, estimates: Tensor, mixture: Tensor) -> Tensor:
    """The scores of waveforms `[B, N, L]` (sources), `[B, N, L]` (estimates) and `[B, 1, L]` (mixture): `[B, columns,
    N]`.
    """
    sdr, sir, sar, sdr_mixture = bss_eval(sources, estimates, mixture)
    found = {"sdr": sdr, "sir": sir, "sar": sar, "sdr_mixture": sdr_mixture.squeeze(2)}
    for metric in METRICS.values():
        if metric.compute:
            found[metric.name] = metric.compute(sources, estimates)
            if metric.of_mixture:
                found[f"{metric.name}_mixture"] = metric.compute(sources, mixture)
    return torch.stack([found[name] for name in COLUMNS], dim=1)


def si_sdr(source: Tensor, estimate: Tensor) -> Tensor:
    """Scale-invariant SDR in dB (Le Roux, Wisdom, Erdogan, Hershey, ICASSP 2019), `[..., L]`, `[..., L]` -> `[...]`.

    The target is the projection of the estimate on the source. Means are not removed: a constant offset is an error.
    """
    scale = (estimate * source).sum(dim=-1, keepdim=True) / source.square().sum(dim=-1, keepdim=True)
    target = scale * source
    return 10 * torch.log10(target.square().sum(dim=-1) / (estimate - target).square().sum(dim=-1))


FLOOR = 1e-5  # smallest magnitude, 100 dB below a full-scale sine's, so that silence has a finite level
LSD_WINDOW = 1024  # samples, with a hop of a quarter
MR_STFT_WINDOWS = (2048, 1024, 512)


def log_spectral_distance(source: Tensor, signal: Tensor) -> Tensor:
    """Log-spectral distance in dB, `[..., L]`, `[..., L]` -> `[...]` (Gray and Markel, IEEE TASSP 24(5), 1976).

    The root mean square difference of the levels over the bins of a frame, averaged over the frames.
    """
    levels = (20 * torch.log10(_magnitudes(wave, LSD_WINDOW)) for wave in (source, signal))  # [..., F, T]
    differences = next(levels) - next(levels)
    return differences.square().mean(dim=-2).sqrt().mean(dim=-1)


def multi_resolution_stft_distance(source: Tensor, signal: Tensor) -> Tensor:
    """Multi-resolution STFT distance, without a unit, `[..., L]`, `[..., L]` -> `[...]`.

    Spectral convergence plus the mean difference of log magnitudes, averaged over three windows (Yamamoto, Song and
    Kim, Parallel WaveGAN, ICASSP 2020).
    """
    distances = []
    for window in MR_STFT_WINDOWS:
        one, other = _magnitudes(source, window), _magnitudes(signal, window)  # [..., F, T]
        error = torch.linalg.matrix_norm(one - other) / torch.linalg.matrix_norm(one)
        distances.append(error + (one.log() - other.log()).abs().mean(dim=(-2, -1)))
    return torch.stack(distances).mean(dim=0)


def _magnitudes(wave: Tensor, window: int) -> Tensor:
    """STFT magnitudes `[..., F, T]` with a Hann window and a hop of a quarter window; a full-scale sine has magnitude
    1.
    """
    hann = torch.hann_window(window, dtype=wave.dtype, device=wave.device)
    flat = wave.reshape(-1, wave.shape[-1])
    spectrum = torch.stft(flat, window, window // 4, window=hann, pad_mode="constant", return_complex=True)
    magnitudes = (spectrum.abs() * 2 / hann.sum()).clamp(min=FLOOR)
    return magnitudes.reshape(*wave.shape[:-1], *magnitudes.shape[-2:])


METRICS = {
    metric.name: metric
    for metric in (
        Metric("sdr", "SDR", of_mixture=True),
        Metric("sir", "SIR"),
        Metric("sar", "SAR"),
        Metric("si_sdr", "SI-SDR", si_sdr, of_mixture=True),
        Metric("lsd", "LSD", log_spectral_distance, of_mixture=True, higher_is_better=False),
        Metric("mr_stft", "MR-STFT", multi_resolution_stft_distance, of_mixture=True, higher_is_better=False, unit=""),
    )
}
COLUMNS = tuple(column for metric in METRICS.values() for column in metric.columns)  # of metrics.csv


def units() -> str:
    """The units of a table of all scores, in words."""
    without = [metric.label for metric in METRICS.values() if not metric.unit]
    return f"dB; {', '.join(without)} without a unit" if without else "dB"
