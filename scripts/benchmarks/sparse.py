"""The sparse engines: training steps of the vision net, the built-in engine against each of the others."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch

from arguments import choose_device
from benchmarks.groups import benchmark_groups
from benchmarks.timing import peak_memory, time_in_turn
from models.backend import choose_engine, engine_name, import_minkowski, import_triton, shells, supports
from models.minkowski_net import SparseResNet18

BATCHES = [(1, 4700), (8, 4700), (32, 4700), (80, 4700), (8, 20_000)]  # clouds, voxels of each
OPERATIONS = {
    "matrix products": {"aten::mm", "aten::bmm", "aten::addmm", "aten::addmm_"},
    "gathering rows": {"aten::index_select", "aten::index", "aten::gather"},
    "adding rows up": {"aten::scatter_add_", "aten::index_add_"},
    "batch norm, ReLU": {
        *("aten::native_batch_norm", "aten::native_batch_norm_backward"),
        *("aten::relu", "aten::relu_", "aten::threshold_backward"),
    },
}
GROWTH = [10_000, 30_000, 100_000, 300_000, 1_000_000]  # voxels of one cloud


def benchmark_sparse(options: argparse.Namespace) -> dict:
    """SparseResNet18, forward and backward: the engines in turn, sources together and apart, the cost of voxels."""
    device = choose_device(options.device)
    minkowski = import_minkowski()
    names = ["builtin"] + (["triton"] if device.type == "cuda" and import_triton() else [])
    names += ["minkowski"] if minkowski and supports(minkowski, device) else []
    print(f"SparseResNet18, forward + backward, {device}, {torch.get_num_threads()} threads, {options.pairs} pairs")
    if "minkowski" not in names:
        print("MinkowskiEngine is not installed for this device: scripts/install_minkowski.sh builds it")
    print(
        f"{'clouds':>7}{'voxels':>9}"
        + "".join(f"{name + ' s':>14}{'peak MiB':>10}" for name in names)
        + "".join(f"{'to ' + name:>14}" for name in names[1:])
    )
    rows = []
    for clouds, voxels in BATCHES:
        batch = shells(clouds, voxels)
        seconds = time_in_turn([step(name, batch, device) for name in names], options.pairs, device)
        row: dict = {"clouds": clouds, "voxels": len(batch[0])}
        for name, taken in zip(names, seconds, strict=True):
            row |= {
                f"{name}_s": statistics.median(taken),
                f"{name}_peak_mib": peak_memory(_make, (name, clouds, voxels, str(device)), device),
            }
        ratio = ""
        for name, taken in zip(names[1:], seconds[1:], strict=True):
            row[f"ratio_to_{name}"] = statistics.median(a / b for a, b in zip(seconds[0], taken, strict=True))
            ratio += f"{row[f'ratio_to_{name}']:14.2f}"
        cells = "".join(f"{row[f'{name}_s']:14.3f}{row[f'{name}_peak_mib']:10.0f}" for name in names)
        print(f"{clouds:7}{row['voxels']:9}{cells}{ratio}", flush=True)
        rows.append(row)
    shares = time_shares(step("builtin", shells(*BATCHES[2]), device))
    print(f"\nthe built-in engine's time at {BATCHES[2][0]} clouds: ", end="")
    print(", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
    about = {"device": str(device), "threads": torch.get_num_threads()}
    groups = benchmark_groups(options.pairs, device)
    return {**about, "engines": rows, "shares": shares, "groups": groups, "growth": benchmark_growth(device)}


def benchmark_growth(device: torch.device) -> list[dict]:
    """The built-in engine's step by the number of voxels of one cloud."""
    growth = []
    print(f"\n{'voxels':>9}{'builtin s':>12}{'us a voxel':>12}")
    for voxels in GROWTH:
        batch = shells(1, voxels)
        (taken,) = time_in_turn([step("builtin", batch, device)], 3, device)
        growth.append({"voxels": len(batch[0]), "builtin_s": statistics.median(taken)})
        print(f"{len(batch[0]):9}{growth[-1]['builtin_s']:12.3f}{1e6 * growth[-1]['builtin_s'] / len(batch[0]):12.2f}")
    return growth


def step(name: str, batch: tuple[torch.Tensor, torch.Tensor], device: torch.device) -> Callable[[], None]:
    """A training step of the vision net on an engine, without the optimiser."""
    torch.manual_seed(0)
    engine = choose_engine(name, device)
    assert engine_name(engine) == name
    net = SparseResNet18(16, engine).to(device)
    coordinates, features = (part.to(device) for part in batch)

    def run() -> None:
        net.zero_grad(set_to_none=True)
        net(coordinates, features).square().sum().backward()

    return run


def _make(name: str, clouds: int, voxels: int, device: str) -> Callable[[], None]:
    return step(name, shells(clouds, voxels), torch.device(device))


def time_shares(run: Callable[[], None]) -> dict[str, float]:
    """What a step spends its time on, as parts of 1; the rest is coordinates, Python and everything else."""
    run()
    with torch.profiler.profile() as profile:
        for _ in range(3):
            run()
    times = {event.key: event.self_cpu_time_total + event.self_device_time_total for event in profile.key_averages()}
    total = sum(times.values())
    shares = {name: sum(times.get(op, 0) for op in ops) / total for name, ops in OPERATIONS.items()}
    return shares | {"the rest": 1 - sum(shares.values())}
