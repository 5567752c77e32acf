"""The vision net's share of a training iteration: one pass over the clouds of all sources, against one for each."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.timing import peak_memory, time_in_turn
from models.backend import shells
from models.minkowski_net import SparseResNet18, apart

SOURCES = (2, 3)
CLOUDS, VOXELS = 8, 4700  # clouds of a source, voxels of a cloud
WAYS = ("one pass", "passes")


def benchmark_groups(pairs: int, device: torch.device) -> list[dict]:
    """Seconds, dispatched operations and peak memory of both ways, with the built-in engine."""
    print(f"\n{CLOUDS} clouds a source, one pass of all over a pass for each: ratios; operations include views")
    print(f"{'sources':>8}{'one pass s':>12}{'passes s':>10}{'ratio':>7}", end="")
    print(f"{'operations':>12}{'passes':>8}{'ratio':>7}{'peak MiB':>10}{'passes':>8}{'ratio':>7}")
    rows = []
    for sources in SOURCES:
        steps = [pass_over(way, sources, device) for way in WAYS]
        seconds = time_in_turn(steps, pairs, device)
        one, many = (statistics.median(taken) for taken in seconds)
        ratio = statistics.median(a / b for a, b in zip(*seconds, strict=True))
        operations = [count_operations(run) for run in steps]
        peaks = [peak_memory(_make, (way, sources, str(device)), device) for way in WAYS]
        row = {
            **{"sources": sources, "one_pass_s": one, "passes_s": many, "ratio": ratio},
            **{"operations": operations, "operations_ratio": operations[0] / operations[1]},
            **{"peak_mib": peaks, "peak_ratio": peaks[0] / peaks[1]},
        }
        rows.append(row)
        print(f"{sources:8}{one:12.3f}{many:10.3f}{ratio:7.2f}", end="")
        print(f"{operations[0]:12}{operations[1]:8}{row['operations_ratio']:7.2f}", end="")
        print(f"{peaks[0]:10.0f}{peaks[1]:8.0f}{row['peak_ratio']:7.2f}", flush=True)
    return rows


def pass_over(way: str, sources: int, device: torch.device) -> Callable[[], None]:
    """Forward and backward of the vision net over the clouds of all sources, without the optimiser, in one of WAYS."""
    torch.manual_seed(0)
    net = SparseResNet18(16).to(device)
    coordinates, features = (part.to(device) for part in shells(sources * CLOUDS, VOXELS))
    parts = apart(coordinates, features, CLOUDS)

    def run() -> None:
        net.zero_grad(set_to_none=True)
        if way == "one pass":
            seen = net(coordinates, features, group_size=CLOUDS)
        else:
            seen = torch.cat([net(*part) for part in parts])
        seen.square().sum().backward()

    return run


def _make(way: str, sources: int, device: str) -> Callable[[], None]:
    return pass_over(way, sources, torch.device(device))


def count_operations(run: Callable[[], None]) -> int:
    """How many PyTorch operations a step dispatches, after a first step that fills the caches."""
    run()
    with _Counter() as counter:
        run()
    return counter.count


class _Counter(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        self.count += 1
        return operation(*arguments, **(keywords or {}))
