"""Waveform <-> spectrogram and linear <-> logarithmic frequency: pairs of a transform and its inverse."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def stft(wave: Tensor, n_fft: int, hop: int) -> Tensor:
    """Complex spectrogram of `wave [..., L]`: `[..., n_fft // 2 + 1, 1 + L // hop]`.

    Periodic Hann window of n_fft samples, frames centred on multiples of hop, ends reflected (librosa <= 0.9).
    """
    window = _window(n_fft, wave.device, wave.dtype)
    flat = wave.reshape(-1, wave.shape[-1])
    spectrum = torch.stft(flat, n_fft, hop, window=window, pad_mode="reflect", return_complex=True)
    return spectrum.reshape(*wave.shape[:-1], *spectrum.shape[-2:])


def istft(spectrum: Tensor, n_fft: int, hop: int, length: int | None = None) -> Tensor:
    """Inverse of `stft`: `[..., n_fft // 2 + 1, T]` -> `[..., hop * (T - 1)]`, or the first `length` samples.

    The last frame reaches n_fft // 2 samples beyond its centre, far enough for every `length` that `stft` makes T
    frames of.
    """
    window = _window(n_fft, spectrum.device, spectrum.real.dtype)
    wave = torch.istft(spectrum.reshape(-1, *spectrum.shape[-2:]), n_fft, hop, window=window, length=length)
    return wave.reshape(*spectrum.shape[:-2], wave.shape[-1])


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _window(n_fft: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """`[n_fft]`, made once."""
    return torch.hann_window(n_fft, device=device, dtype=dtype)


LOG_BINS = 256  # of the published system
WARP_BASE = 21  # the log-frequency axis, u in 0..1 from 0 Hz to Nyquist, has (21^u - 1) / 20 of the latter at u


def warp(magnitude: Tensor, num_bins: int = LOG_BINS) -> Tensor:
    """Linear to logarithmic frequency: `[B, C, F, T]` -> `[B, C, num_bins, T]`, bilinear, zero outside.

    The grid of Sound-of-Pixels: over v in -1..1, `y = (21^((v + 1) / 2) - 11) / 10`.
    """
    return _resample_frequency(magnitude, _warped_grid, num_bins)


def unwarp(mask: Tensor, num_bins: int, padding: str = "zeros") -> Tensor:
    """Logarithmic to linear frequency: `[B, C, F', T]` -> `[B, C, num_bins, T]`, bilinear, zero outside.

    Over v in -1..1, `y = 2 ln(10 v + 11) / ln(21) - 1`: the inverse of the grid of `warp`. The outermost frames and
    bins lie half outside; with padding `border` they keep the value they have at the edge.
    """
    return _resample_frequency(mask, _unwarped_grid, num_bins, padding)


def _warped_grid(v: Tensor) -> Tensor:
    return (WARP_BASE ** ((v + 1) / 2) - 11) / 10


def _unwarped_grid(v: Tensor) -> Tensor:
    return 2 * torch.log(10 * v + 11) / math.log(WARP_BASE) - 1


def _resample_frequency(x: Tensor, to: Callable[[Tensor], Tensor], num_bins: int, padding: str = "zeros") -> Tensor:
    grid = _grid(to, num_bins, x.shape[-1], x.device, x.dtype)
    return F.grid_sample(x, grid.expand(x.shape[0], -1, -1, -1), padding_mode=padding, align_corners=False)


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _grid(
    to: Callable[[Tensor], Tensor], num_bins: int, frames: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Where to read `num_bins` bins of `frames` frames, `[num_bins, frames, 2]`; made, and copied to a device, once."""
    time, v = (torch.linspace(-1, 1, count, dtype=torch.float64) for count in (frames, num_bins))
    return torch.stack(torch.meshgrid(time, to(v), indexing="xy"), dim=-1).to(device, dtype)
