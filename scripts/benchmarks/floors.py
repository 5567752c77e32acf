"""The least time that a device's arithmetic and memory allow a training iteration."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import now
from dataset.collate import Batch
from models import SeparationNet

SQUARE = {"cpu": 2048, "cuda": 8192}  # rows of the matrices whose product tells what arithmetic a device can do
COPIED = 2**26  # float32 numbers whose copy tells what its memory can do


def report_floors(net: SeparationNet, batch: Batch, computed_s: float, device: torch.device) -> dict:
    """Prints the least time that arithmetic and memory allow an iteration, as this device does both, and the gap.

    Bytes: what is kept for backward is written and read once; a parameter is read forward and backward, its gradient
    written, and the optimiser reads parameter, gradient and momentum and writes two of them.
    """
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with FlopCounterMode(display=False) as counter:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = net(batch.mixture, batch.clouds, batch.sources).loss
        loss.backward()
    weights = sum(parameter.numel() * parameter.element_size() for parameter in net.parameters())
    flops = counter.get_total_flops()
    moved = 2 * max(0, sum(kept.values()) - weights) + 8 * weights  # the weights are kept too
    del loss
    flops_per_s, bytes_per_s = measure_arithmetic(device, net.amp or torch.float32), measure_memory(device)
    floors = {"arithmetic": flops / flops_per_s, "bytes": moved / bytes_per_s}
    print(f"{'floor':<12}{'work':>12}{'the device does':>20}{'least s':>10}{'gap':>7}")
    print(
        f"{'arithmetic':<12}{flops / 1e9:7.0f} GFLOP{flops_per_s / 1e9:12.0f} GFLOP/s{floors['arithmetic']:10.3f}"
        f"{computed_s / floors['arithmetic']:7.2f}\n"
        f"{'memory':<12}{moved / 1e9:9.2f} GB{bytes_per_s / 1e9:15.1f} GB/s{floors['bytes']:10.3f}"
        f"{computed_s / floors['bytes']:7.2f}"
    )
    return {"flop": flops, "bytes": moved, "flop_per_s": flops_per_s, "bytes_per_s": bytes_per_s, "floors_s": floors}


def measure_arithmetic(device: torch.device, dtype: torch.dtype = torch.float32) -> float:
    """Floating-point operations a second of a large product of matrices, as convolutions compute it; the best of five.

    On a GPU those of float32 go through TF32 where PyTorch lets convolutions do so, as it does by default.
    """
    rows = SQUARE.get(device.type, 2048)
    a, b = torch.rand(2, rows, rows, device=device).to(dtype)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    seconds = best_of_five(lambda: a @ b, device)
    torch.backends.cuda.matmul.allow_tf32 = before
    return 2 * rows**3 / seconds


def measure_memory(device: torch.device) -> float:
    """Bytes a second that a copy reads and writes; the best of five."""
    a, b = torch.empty(2, COPIED, device=device).fill_(1.0)
    return 2 * 4 * COPIED / best_of_five(lambda: b.copy_(a), device)


def best_of_five(work: Callable[[], object], device: torch.device) -> float:
    """Seconds."""
    seconds = []
    for _ in range(6):
        start = now(device)
        work()
        seconds.append(now(device) - start)
    return min(seconds[1:])
