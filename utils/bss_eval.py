"""BSS Eval v3: SDR, SIR and SAR of a batch of mixtures, by PyTorch on any device or by mir_eval.

Vincent, Gribonval, Fevotte, "Performance measurement in blind audio source separation", IEEE TASLP 14(4), 2006: an
estimate is projected on its own source, delayed by 0..511 samples (the target), and on all sources so delayed (target
and interference); the rest are artifacts. No permutation: estimate n is compared with source n.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from mir_eval import separation
from scipy.fft import next_fast_len
from scipy.linalg import lapack
from torch import Tensor

TAPS = 512  # length in samples of the filters that count as no distortion
AT_ONCE = {"cpu": 1, "cuda": 16}  # mixtures: one keeps its Gram matrix in a CPU's cache, more keep a GPU busy


def fast_bss_eval(sources: Tensor, estimates: Tensor, others: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """BSS Eval with one Gram matrix for all projections of a mixture.

    Equal to `mir_eval_bss_eval` up to rounding. Where delayed sources are linearly dependent in double precision, as
    two copies of one recording are, SIR is rounding noise in both.

    Args:
        sources, estimates: `[B, N, L]` float64, not silent.
        others: `[B, M, L]` float64, further signals to compare with every source, by SDR alone: the unprocessed
            mixture.

    Returns:
        SDR, SIR and SAR of the estimates, each `[B, N]`, and SDR of the others `[B, N, M]`, in dB.
    """
    *found, failed = quick_bss_eval(sources, estimates, others)
    for b in failed.nonzero().flatten().tolist():
        *careful, _ = _bss_eval(*(waves[b : b + 1] for waves in (sources, estimates, others)), _solve)
        for numbers, one in zip(found, careful, strict=True):
            numbers[b] = one[0]
    return tuple(found)


def quick_bss_eval(sources: Tensor, estimates: Tensor, others: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What `fast_bss_eval` computes, without ever waiting for a GPU, and for which mixtures it failed, `[B]` bool.

    Those are mixtures whose Gram matrix is not positive definite; `fast_bss_eval` solves them in another way.
    """
    parts = zip(*(waves.split(AT_ONCE[waves.device.type]) for waves in (sources, estimates, others)), strict=True)
    found = map(torch.cat, zip(*(_bss_eval(*part, _cholesky_solve) for part in parts), strict=True))
    sdr, sir, sar, sdr_others, failed = found
    return sdr, sir, sar, sdr_others, failed


def _bss_eval(sources: Tensor, estimates: Tensor, others: Tensor, solve: Callable) -> tuple[Tensor, ...]:
    n = sources.shape[1]
    n_fft = next_fast_len(sources.shape[2] + TAPS - 1, real=True)  # holds a filtered source: nothing wraps around
    spectra = torch.fft.rfft(sources, n_fft)  # [B, N, F]
    signals = torch.fft.rfft(torch.cat([estimates, others], dim=1), n_fft)  # [B, N + M, F]
    estimates, others = signals[:, :n], signals[:, None, n:]  # [B, N, F], [B, 1, M, F]
    gram = _toeplitz(_correlate(spectra, spectra, n_fft))  # [B, N, 512, N, 512]
    inner = _correlate(spectra, signals, n_fft)[..., TAPS - 1 :]  # [B, N, N + M, 512]

    # on source n alone: estimate n and all others
    own_gram = gram.diagonal(dim1=1, dim2=3).movedim(-1, 1)  # [B, N, 512, 512]
    estimate_inner = inner.diagonal(dim1=1, dim2=2).mT.unsqueeze(2)  # [B, N, 1, 512]
    own_inner = torch.cat([estimate_inner, inner[:, :, n:]], dim=2)  # [B, N, 1 + M, 512]
    taps, info = solve(own_gram, own_inner.mT)
    taps, failed = taps.mT, info.any(dim=1)  # [B, N, 1 + M, 512], [B]
    filtered = torch.fft.rfft(taps, n_fft) * spectra.unsqueeze(2)  # [B, N, 1 + M, F]
    target, target_others = filtered[:, :, 0], filtered[:, :, 1:]  # [B, N, F], [B, N, M, F]

    # on all sources: every estimate
    explained = target  # [B, N, F]
    if n > 1:
        all_inner = inner[:, :, :n].mT.flatten(1, 2)  # [B, N * 512, N], a column for each estimate
        taps, info = solve(gram.flatten(3, 4).flatten(1, 2), all_inner)
        taps, failed = taps.mT.unflatten(2, (n, TAPS)), failed | info.bool()  # [B, N, N, 512], [B]
        explained = (torch.fft.rfft(taps, n_fft) * spectra.unsqueeze(1)).sum(dim=2)

    # energies of differences, not differences of energies: these lose the digits of a nearly perfect estimate
    sdr = _energy_ratio_db(target, estimates - target, n_fft)
    sir = _energy_ratio_db(target, explained - target, n_fft)
    sar = _energy_ratio_db(explained, estimates - explained, n_fft)
    return sdr, sir, sar, _energy_ratio_db(target_others, others - target_others, n_fft), failed


def _correlate(a: Tensor, b: Tensor, n_fft: int) -> Tensor:
    """`sum_t a_i[t] b_j[t + lag]` from spectra `[B, N, F]`, `[B, M, F]`: `[B, N, M, 1023]`, lags -511..511."""
    correlation = torch.fft.irfft(a.conj().unsqueeze(2) * b.unsqueeze(1), n_fft)
    return torch.cat([correlation[..., 1 - TAPS :], correlation[..., :TAPS]], dim=-1)


def _toeplitz(correlation: Tensor) -> Tensor:
    """`[B, N, N, 1023]`, lags -511..511 -> `[B, N, 512, N, 512]`, where (i, p, j, q) holds lag p - q of (i, j)."""
    return correlation.flip(-1).unfold(-1, TAPS, 1).transpose(2, 3).flip(2)


def _solve(gram: Tensor, inner: Tensor) -> tuple[Tensor, Tensor]:
    """Solves `gram [..., K, K] x = inner [..., K, J]`, and never fails; gives zeros `[...]` as the second result.

    It uses Cholesky's method; LU, as mir_eval does, where rounding has made a Gram matrix indefinite; and least squares
    where it is singular.
    """
    x, info = _cholesky_solve(gram, inner)
    for at in map(tuple, info.nonzero().tolist()):
        x[at], singular = torch.linalg.solve_ex(gram[at], inner[at])
        if singular:
            x[at] = torch.linalg.lstsq(gram[at].cpu(), inner[at].cpu(), driver="gelsd").solution.to(x)
    return x, torch.zeros_like(info)


def _cholesky_solve(gram: Tensor, inner: Tensor) -> tuple[Tensor, Tensor]:
    """The solutions `[..., K, J]`, and `[...]`, which is not 0 where there is none because the matrix is not positive
    definite.
    """
    if gram.device.type != "cpu":
        factor, info = torch.linalg.cholesky_ex(gram)
        return torch.cholesky_solve(inner, factor), info
    # SciPy's LAPACK takes half the time of PyTorch's on AMD's processors; transposed, the matrix is in its order
    pairs = zip(gram.flatten(0, -3).numpy(), inner.flatten(0, -3).numpy(), strict=True)
    solved = [lapack.dposv(a.T, b)[1:] for a, b in pairs]
    x = torch.from_numpy(np.stack([x for x, _ in solved])).view(inner.shape)
    return x, torch.tensor([info for _, info in solved]).view(gram.shape[:-2])


def _energy_ratio_db(signal: Tensor, noise: Tensor, n_fft: int) -> Tensor:
    """Of waveforms with spectra `[..., F]`, `[..., F]`: `[...]` dB, infinite without noise."""
    return 10 * torch.log10(_energy(signal, n_fft) / _energy(noise, n_fft))


def _energy(spectrum: Tensor, n_fft: int) -> Tensor:
    """Energy of the waveform times n_fft, by Parseval's theorem: all bins but the first and n_fft / 2 stand for two."""
    power = spectrum.real.square() + spectrum.imag.square()
    return power.sum(dim=-1) + power[..., 1 : (n_fft + 1) // 2].sum(dim=-1)


def mir_eval_bss_eval(sources: Tensor, estimates: Tensor, others: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `fast_bss_eval` computes, by mir_eval itself on the CPU."""
    n = sources.shape[1]
    scores, scores_others = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # mir_eval 0.8 announces that 0.9 drops the module
        for s, e, o in zip(*(x.cpu().numpy() for x in (sources, estimates, others)), strict=True):
            scores.append(separation.bss_eval_sources(s, e, compute_permutation=False)[:3])
            of_each = [separation.bss_eval_sources(s, x[None].repeat(n, 0), compute_permutation=False)[0] for x in o]
            scores_others.append(np.array(of_each).reshape(len(o), n).T)
    sdr, sir, sar = torch.from_numpy(np.array(scores)).to(sources).unbind(dim=1)
    return sdr, sir, sar, torch.from_numpy(np.array(scores_others)).to(sources)
