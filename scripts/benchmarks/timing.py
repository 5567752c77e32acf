"""How the parts of the benchmark take time and report it: always as ratios of things done in turn in one run."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


def time_in_turn(steps: list[Callable[[], None]], rounds: int, device: torch.device) -> list[list[float]]:
    """Seconds of every step in every round, the steps one after the other in each round; a first round warms up."""
    seconds: list[list[float]] = [[] for _ in steps]
    for number in range(rounds + 1):
        for run, taken in zip(steps, seconds, strict=True):
            start = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if number:
                taken.append(time.perf_counter() - start)
    return seconds
