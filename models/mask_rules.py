"""How predicted masks, numbers from 0 to 1, become what the mixture is multiplied by."""

from __future__ import annotations

from torch import Tensor

EPSILON = 1e-10


def cut(masks: Tensor, threshold: float) -> Tensor:
    """1 above the threshold and 0 elsewhere, as published; any shape."""
    return (masks > threshold).to(masks.dtype)


def keep(masks: Tensor, threshold: float) -> Tensor:
    """The masks as they are."""
    return masks


def share(masks: Tensor, threshold: float) -> Tensor:
    """Shares of N sources and of a residual, `[N, ...]`, by the squares of the masks, as a Wiener filter has them.

    The residual's mask is the product of what the others leave, `1 - mask`: large where none of them is sure. So the
    shares of all sources add up to 1 at most, and points that two of them claim are divided among them.
    """
    masks = masks.clamp(0, 1)
    energies = masks.square()
    residual = (1 - masks).prod(dim=0).square()
    return energies / (energies.sum(dim=0) + residual).clamp(min=EPSILON)


MASK_RULES = {"binary": cut, "soft": keep, "shared": share}
