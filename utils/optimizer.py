"""The optimiser: a learning rate for each net."""

from __future__ import annotations

import argparse

import torch
from torch import nn


def build_optimizer(separator: nn.Module, options: argparse.Namespace) -> torch.optim.Optimizer:
    """SGD or Adam over a `models.Separator`; the vision net's last layer learns at the rate of the sound net."""
    groups = [
        {"name": "sound", "params": separator.sound.parameters(), "lr": options.lr_sound},
        {"name": "synthesizer", "params": separator.synthesizer.parameters(), "lr": options.lr_synthesizer},
        {"name": "vision", "params": separator.vision.features.parameters(), "lr": options.lr_vision},
        {"name": "vision_fc", "params": separator.vision.fc.parameters(), "lr": options.lr_sound},
    ]
    if options.optimizer == "adam":
        return torch.optim.Adam(groups, betas=(options.beta1, 0.999), weight_decay=options.weight_decay)
    return torch.optim.SGD(groups, momentum=options.beta1, weight_decay=options.weight_decay)
