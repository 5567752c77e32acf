"""Which sparse engine runs the vision net: the built-in one, in plain PyTorch or with Triton's kernels, or
MinkowskiEngine. All have the same interface.

Run as a module (`python -m models.backend`) it checks that MinkowskiEngine works and agrees with the built-in engine.
"""

from __future__ import annotations

import collections
import collections.abc
import math
import sys
import time
import warnings
from types import ModuleType

import torch

from models import sparse
from models.minkowski_net import SparseResNet18
from utils.errors import InputError
from utils.progress import say

BACKENDS = ("auto", "builtin", "triton", "minkowski")
RACE_CLOUDS, RACE_VOXELS = 8, 4000


def import_minkowski() -> ModuleType | None:
    """MinkowskiEngine, or None where it is not installed or does not load."""
    if not hasattr(collections, "Sequence"):  # 0.5.4 still looks for it where Python < 3.10 had it
        collections.Sequence = collections.abc.Sequence
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that a build without CUDA has no CUDA
            import MinkowskiEngine
    except (ImportError, OSError):
        return None
    return MinkowskiEngine


def import_triton() -> ModuleType | None:
    """The built-in engine with Triton's kernels, or None where Triton is not installed."""
    try:
        from models import sparse_triton
    except ImportError:
        return None
    return sparse_triton


def supports(engine: ModuleType, device: torch.device) -> bool:
    """Whether MinkowskiEngine was built for this kind of device."""
    return device.type == "cpu" or (device.type == "cuda" and engine.is_cuda_available())


def choose_engine(name: str, device: torch.device) -> ModuleType:
    """The engine for one of BACKENDS on a device.

    On a GPU, `auto` takes the fastest of the engines that run there, in a short race. On a CPU it takes the built-in
    engine, which is the fastest (`scripts/benchmark.py sparse`).

    Raises:
        InputError: an engine is asked for that is missing, or that does not run on the device.
    """
    if name == "builtin" or (name == "auto" and device.type != "cuda"):
        return sparse
    if name == "triton":
        if device.type != "cuda":
            raise InputError(f"--sparse_backend triton: it is for cuda, not for {device.type}; leave it at auto")
        triton = import_triton()
        if triton is None:
            raise InputError("--sparse_backend triton: not installed; it comes with PyTorch's builds for CUDA on Linux")
        return triton
    minkowski = import_minkowski()
    if name == "minkowski":
        if minkowski is None:
            raise InputError("--sparse_backend minkowski: not installed; scripts/install_minkowski.sh builds it")
        if not supports(minkowski, device):
            raise InputError(f"--sparse_backend minkowski: the installed build does not run on {device.type}")
        return minkowski
    engines = [sparse, import_triton(), minkowski if minkowski and supports(minkowski, device) else None]
    return min(filter(None, engines), key=lambda engine: _seconds_or_never(engine, device))


def engine_name(engine: ModuleType) -> str:
    """`builtin`, `triton` or `minkowski`."""
    names = {"sparse": "builtin", "sparse_triton": "triton"}
    return names.get(engine.__name__.rpartition(".")[2], "minkowski")


def _seconds_or_never(engine: ModuleType, device: torch.device) -> float:
    """The seconds of `time_pass`; infinite, with a note, for an engine that turns out not to run here."""
    try:
        return time_pass(engine, device)
    except Exception as error:  # compilers and drivers have errors of their own
        if engine is sparse:
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        say(f"note: the sparse engine {engine_name(engine)} does not run here ({reason}); another is taken")
        return math.inf


def time_pass(engine: ModuleType, device: torch.device) -> float:
    """Seconds of a forward and backward pass of the vision net on shells like those of bodies; the best of three."""
    net = SparseResNet18(16, engine).to(device)
    coordinates, features = shells(RACE_CLOUDS, RACE_VOXELS)
    coordinates, features = coordinates.to(device), features.to(device)
    seconds = []
    for _ in range(4):
        torch.cuda.synchronize(device) if device.type == "cuda" else None
        start = time.perf_counter()
        net(coordinates, features).sum().backward()
        torch.cuda.synchronize(device) if device.type == "cuda" else None
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def shells(clouds: int, voxels: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Clouds like a captured body, about `voxels` each: coordinates `[V, 4]` int32, features `[V, 3]` in 0..1.

    The surface of an ellipsoid with a body's proportions, hit by three points a voxel as captures do (14,000 points
    on 4,700 voxels of 2 cm), so that it is as closed and thins out with the stride as theirs.
    """
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(clouds, 3 * voxels, 3, generator=generator)
    points /= points.norm(dim=2, keepdim=True)
    radius = 22 * (voxels / 4700) ** 0.5
    xyz = (points * radius * torch.tensor([0.7, 1.6, 0.5])).floor().int()
    parts = []
    for b, cloud in enumerate(xyz):
        unique = torch.unique(cloud, dim=0)
        unique = unique[torch.randperm(len(unique), generator=generator)[:voxels]]
        parts.append(torch.nn.functional.pad(unique, (1, 0), value=b))
    coordinates = torch.cat(parts)
    return coordinates, torch.rand(len(coordinates), 3, generator=generator)


def main() -> int:
    minkowski = import_minkowski()
    if minkowski is None:
        print("MinkowskiEngine is not installed or does not load", file=sys.stderr)
        return 2
    device = torch.device("cuda" if minkowski.is_cuda_available() else "cpu")
    torch.manual_seed(0)
    ours, theirs = SparseResNet18(16, sparse).to(device), SparseResNet18(16, minkowski).to(device)
    theirs.load_state_dict(ours.state_dict())
    coordinates, features = (part.to(device) for part in shells(4, 2000))
    outputs = [net(coordinates, features) for net in (ours, theirs)]
    difference = ((outputs[0] - outputs[1]).abs().max() / outputs[1].abs().max()).item()
    print(f"MinkowskiEngine {minkowski.__version__} on {device}: differs from the built-in engine by {difference:.1e}")
    return 0 if difference < 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
