"""Training iterations of the default model on real files: what share of them waits for data."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from arguments import choose_device, parse_arguments
from benchmarks.data import index_rows, write_files
from dataset.loader import BatchLoader
from dataset.music import MUSICMixDataset
from models import build_separation_net
from models.backend import choose_engine, engine_name
from utils.optimizer import build_optimizer

BATCH_SIZE, WORKERS = 8, 2
STAGES = ("waiting for data", "forward", "backward", "optimiser")


def benchmark_step(options: argparse.Namespace) -> dict:
    """Seconds of every stage of an iteration, and the share of the iteration that it takes; medians."""
    device = choose_device(options.device)
    model = parse_arguments(["--id", "benchmark"])  # the defaults
    engine = choose_engine(model.sparse_backend, device)
    net = build_separation_net(model, engine, device).train()
    optimizer = build_optimizer(net, model)
    print(
        f"iterations of the default model ({model.arch_sound}, {model.num_mix} sources, audLen {model.audLen}), "
        f"batch {BATCH_SIZE}, {WORKERS} workers, all augmentations, {device}, {torch.get_num_threads()} threads, "
        f"{engine_name(engine)} sparse engine"
    )
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder))
        rows = index_rows(folder)
        dataset = MUSICMixDataset(
            rows,
            training=True,
            num_samples=(options.pairs + 2) * BATCH_SIZE,
            seed=model.seed,
            num_mix=model.num_mix,
            num_frames=model.num_frames,
            stride_frames=model.stride_frames,
            aud_len=model.audLen,
            aud_rate=model.audRate,
            voxel_size=model.voxel_size,
            rgbs_feature=bool(model.rgbs_feature),
        )
        loader = BatchLoader(dataset, batch_size=BATCH_SIZE, seed=model.seed, shuffle=True, workers=WORKERS)
        taken = time_iterations(net, loader, optimizer, device)[2:]  # the first two find an empty queue
    seconds = {stage: statistics.median(times) for stage, times in zip(STAGES, zip(*taken, strict=True), strict=True)}
    total = statistics.median(map(sum, taken))
    print(f"{'stage':<18}{'s':>9}{'share':>9}")
    for stage in STAGES:
        print(f"{stage:<18}{seconds[stage]:9.3f}{seconds[stage] / total:9.1%}")
    print(f"{'iteration':<18}{total:9.3f}{BATCH_SIZE / total:9.2f} samples a second")
    about = {"device": str(device), "threads": torch.get_num_threads(), "batch_size": BATCH_SIZE, "workers": WORKERS}
    return {**about, "iteration_s": total, "samples_per_s": BATCH_SIZE / total, "stages_s": seconds}


def time_iterations(
    net: torch.nn.Module, loader: BatchLoader, optimizer: torch.optim.Optimizer, device: torch.device
) -> list[tuple[float, ...]]:
    """Trains for an epoch; seconds of each of STAGES in each iteration."""
    taken = []
    batches = iter(loader)
    for _ in range(len(loader)):
        marks = [now(device)]
        batch = next(batches)
        marks.append(now(device))
        batch = batch.to(device)
        optimizer.zero_grad(set_to_none=True)
        loss = net(batch.mixture, batch.clouds, batch.sources).loss
        marks.append(now(device))
        loss.backward()
        marks.append(now(device))
        optimizer.step()
        marks.append(now(device))
        taken.append(tuple(end - start for start, end in zip(marks, marks[1:], strict=False)))
    return taken


def now(device: torch.device) -> float:
    """Seconds on a clock, after the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
