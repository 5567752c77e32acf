"""The optimiser: a learning rate for each net, and how it changes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn


def build_optimizer(
    model: nn.Module,
    name: str,
    *,
    lr_sound: float,
    lr_vision: float,
    lr_synthesizer: float,
    beta1: float,
    weight_decay: float,
    fused: bool = True,
) -> torch.optim.Optimizer:
    """An optimiser over a `models.SeparationNet`; the vision net's last layer learns at the rate of the sound net.

    The arguments are those of `choose_optimizer`, the rates those of the three nets.
    """
    groups = [
        {"name": "sound", "params": model.sound.parameters(), "lr": lr_sound},
        {"name": "synthesizer", "params": model.synthesizer.parameters(), "lr": lr_synthesizer},
        {"name": "vision", "params": model.vision.features.parameters(), "lr": lr_vision},
        {"name": "vision_fc", "params": model.vision.fc.parameters(), "lr": lr_sound},
    ]
    groups = [{**group, "initial_lr": group["lr"]} for group in groups]
    return choose_optimizer(name, groups, beta1, weight_decay, fused)


def set_learning_rates(optimizer: torch.optim.Optimizer, steps: Sequence[int], epoch: int) -> None:
    """The learning rates of an epoch, counted from 1: they drop to a tenth after each of the epochs `steps`."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * 0.1 ** sum(step < epoch for step in steps)


def choose_schedule(
    name: str, optimizer: torch.optim.Optimizer, steps: int, drops: list[int], done: int = 0
) -> torch.optim.lr_scheduler.LRScheduler:
    """A per-step schedule whose peak is the groups' learning rate.

    Args:
        name: `onecycle` rises for the first tenth and falls along a cosine, the momentum the other way; `cosine` falls
            from the beginning; `step` drops to a tenth after each of `drops`.
        steps: of the whole training.
        drops: numbers of steps.
        done: steps that were taken before, by the optimiser as it was saved then.
    """
    if name == "onecycle":
        rise = min(0.9, max(0.1, 2.5 / steps))  # a tenth of the way, of very short ways more
        highest = [group.get("max_lr", group["lr"]) for group in optimizer.param_groups]
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, highest, total_steps=steps, pct_start=rise, last_epoch=done - 1
        )
    factors = {
        "cosine": lambda step: (1 + math.cos(math.pi * step / steps)) / 2,
        "step": lambda step: 0.1 ** sum(drop <= step for drop in drops),
    }
    return torch.optim.lr_scheduler.LambdaLR(optimizer, factors[name], last_epoch=done - 1)


def choose_optimizer(
    name: str, parameters: Iterable, beta1: float, weight_decay: float, fused: bool = True
) -> torch.optim.Optimizer:
    """`sgd` with momentum `beta1`, or `adam`; `parameters` are groups with their learning rates.

    The fused step does one pass over the weights: a tenth of the plain step's time on a CPU.
    """
    if name == "adam":
        return torch.optim.Adam(parameters, betas=(beta1, 0.999), weight_decay=weight_decay, fused=fused)
    return torch.optim.SGD(parameters, momentum=beta1, weight_decay=weight_decay, fused=fused)
