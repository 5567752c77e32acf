"""Losses between a predicted and a target mask, weighted at every point of the spectrogram."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def weighted_bce(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean of `weight * binary cross entropy`; all `[B, 1, F, T]`, prediction and target in 0..1.

    A prediction with NaN has the loss NaN, as with the other losses. PyTorch's function alone would fail, and on a GPU
    nothing could be computed afterwards.
    """
    known = torch.where(prediction.isnan(), 0.5, prediction)
    return F.binary_cross_entropy(known, target, weight) + 0 * prediction.sum()


def weighted_l1(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean of `weight * |prediction - target|`; all `[B, 1, F, T]`."""
    return torch.mean(weight * (prediction - target).abs())


def weighted_l2(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean of `weight * (prediction - target)^2`; all `[B, 1, F, T]`."""
    return torch.mean(weight * (prediction - target) ** 2)


CRITERIA = {"bce": weighted_bce, "l1": weighted_l1, "l2": weighted_l2}
