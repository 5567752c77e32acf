"""How the parts of the benchmark take time and report it: always as ratios of things done in turn in one run."""

from __future__ import annotations

import multiprocessing
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch


def time_in_turn(steps: list[Callable[[], None]], rounds: int, device: torch.device) -> list[list[float]]:
    """Seconds of every step in every round, the steps one after the other in each round.

    A step runs twice in its turn and the second time counts, as in training, where a step follows one like it:
    the first finds its memory given away and the threads of another library still waiting on the cores.
    """
    seconds: list[list[float]] = [[] for _ in steps]
    for _ in range(rounds):
        for run, taken in zip(steps, seconds, strict=True):
            run()
            start = now(device)
            run()
            taken.append(now(device) - start)
    return seconds


def on_one_thread(function: Callable, *arguments: Any) -> Any:
    """Calls `function` in a process of its own, in which NumPy, PyTorch and the like have one thread."""
    one = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB")}
    with patch.dict(os.environ, one), multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def now(device: torch.device) -> float:
    """Seconds on a clock, after the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def peak_memory(make: Callable[..., Callable[[], None]], arguments: tuple, device: torch.device) -> float:
    """MiB that a step adds at its peak to what the process held before: in a process of its own.

    Args:
        make: makes the step from `arguments`.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_memory, (make, arguments, device.type))


def _peak_memory(make: Callable[..., Callable[[], None]], arguments: tuple, device_type: str) -> float:
    make(*arguments)()  # loads the code it runs
    run = make(*arguments)
    if device_type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here (proc(5))
    before = _process_mib("VmRSS")
    run()
    return _process_mib("VmHWM") - before


def _process_mib(field: str) -> float:
    """A line of this process's status, in MiB: `VmRSS` is what it holds, `VmHWM` the most it held."""
    return int(re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)[1]) / 2**10
