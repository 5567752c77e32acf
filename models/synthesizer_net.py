"""Fusion of what is seen and heard: a weighted inner product over channels at every point of the spectrogram."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class InnerProduct(nn.Module):
    """`z = sum_c scale_c v_c a_c + bias`: vision `[B, C]`, sound `[B, C, F, T]` -> `[B, 1, F, T]`."""

    def __init__(self, fc_dim: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(fc_dim))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, vision: Tensor, sound: Tensor) -> Tensor:
        return torch.einsum("bc,bcft->bft", vision * self.scale, sound).unsqueeze(1) + self.bias


class Bias(nn.Module):
    """`z = sum_c v_c a_c + bias`: vision `[B, C]`, sound `[B, C, F, T]` -> `[B, 1, F, T]`."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, vision: Tensor, sound: Tensor) -> Tensor:
        return torch.einsum("bc,bcft->bft", vision, sound).unsqueeze(1) + self.bias
