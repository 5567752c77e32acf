"""Runs of main.py in this process that take a second: their options, a small vision net, what tests ask of them."""

from __future__ import annotations

import torch
import torture
from torch import nn

from models import SeparationNet

TINY = [
    *("--id", "tiny", "--device", "cpu", "--arch_sound", "unet5", "--ngf", "4", "--num_channels", "4"),
    *("--audLen", "8191", "--batch_size_per_gpu", "4", "--voxel_size", "0.1", "--workers", "0", "--num_epoch", "2"),
    *("--dup_trainset", "1", "--num_val", "2", "--num_vis", "0", "--lr_steps", "1", "--optimizer", "adam"),
    *("--mask_thres", "0.1", "--save_iter", "2"),
]


class SmallVision(nn.Module):
    """A stand-in for the vision net, a thousandth of its size, that draws random numbers in training."""

    def __init__(self, fc_dim, engine):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
        self.fc = nn.Linear(8, fc_dim)

    def forward(self, coordinates, features, group_size=None):
        seen = torch.zeros(int(coordinates[:, 0].max()) + 1, 8)
        return self.fc(seen.index_add(0, coordinates[:, 0], self.features(features)))


def run_of(ckpt):
    (run,) = ckpt.iterdir()
    return run


def same(a, b):
    assert torture.differences(a, b) == []


def poisoned(monkeypatch, training, call, value):
    """The loss of the `call`-th forward in training, or in evaluation, becomes `value`."""
    forward, calls = SeparationNet.forward, []

    def forward_or_not(self, *arguments):
        result = forward(self, *arguments)
        if self.training == training:
            calls.append(1)
            if len(calls) == call:
                result.loss = result.loss * value
        return result

    monkeypatch.setattr(SeparationNet, "forward", forward_or_not)
