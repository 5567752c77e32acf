"""Magnitudes of mixture and sources -> what the masks should be, and how much each point counts."""

from __future__ import annotations

import torch
from torch import Tensor


def target_masks(mixture: Tensor, sources: Tensor, binary: bool) -> Tensor:
    """Masks `[N, B, 1, F, T]` for magnitudes mixture `[B, 1, F, T]` and sources `[N, B, 1, F, T]`.

    Binary: 1 where the source has more than half of the mixture's magnitude (N = 2), or no less than any other
    source (N > 2). Ratio: the source's share, at most 5.
    """
    if not binary:
        return (sources / mixture).clamp(0.0, 5.0)
    if len(sources) == 2:
        return (sources > 0.5 * mixture).to(mixture.dtype)
    return (sources >= sources.amax(dim=0)).to(mixture.dtype)


def loss_weight(mixture: Tensor, weighted: bool, scale: float = 1.0) -> Tensor:
    """`clamp(log(1 + scale * magnitude), 1e-3, 10)` of the mixture, or ones: `[B, 1, F, T]`."""
    return torch.log1p(scale * mixture).clamp(1e-3, 10.0) if weighted else torch.ones_like(mixture)
