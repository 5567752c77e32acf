"""Training iterations at the full band of hearing against the published ones, which hear up to 5.5 kHz."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch

from arguments import choose_device, parse_arguments
from benchmarks.data import write_files
from benchmarks.race import BATCH_SIZE, our_loader
from benchmarks.step import time_samples
from benchmarks.timing import time_in_turn
from from_options import build_model, optimizer_of
from models.backend import choose_engine
from utils.leftovers import scratch

FULL_BAND = ["--audRate", "44100", "--stft_frame", "4094", "--stft_hop", "1024", "--audLen", "262143"]
SETTINGS = {  # of main.py, by name; all windows last 5.94 s and have 256 frames
    "11.025 kHz, 256 bins": [],
    "44.1 kHz, 256 bins": FULL_BAND,
    "44.1 kHz, 512 bins": [*FULL_BAND, "--log_bins", "512"],
}


def benchmark_bands(options: argparse.Namespace) -> dict:
    """Seconds of an iteration of the default model at each setting, in turn, and of making a sample."""
    device = choose_device(options.device)
    models = [parse_arguments(["--id", "benchmark", *words]) for words in SETTINGS.values()]
    steps, making = [], []
    for model in models:
        run, sample_s = iteration_of(model, device)
        steps.append(run)
        making.append(sample_s)
    seconds = time_in_turn(steps, options.pairs, device)
    print(
        f"iterations of the default model, batch {BATCH_SIZE}, {device}, {torch.get_num_threads()} threads, "
        f"{options.pairs} rounds, medians"
    )
    print(f"{'':<22}{'iteration s':>12}{'ratio':>8}{'a sample s':>12}")
    rows = []
    for name, taken, sample_s in zip(SETTINGS, seconds, making, strict=True):
        ratio = statistics.median(a / b for a, b in zip(taken, seconds[0], strict=True))
        rows.append({"setting": name, "iteration_s": statistics.median(taken), "ratio": ratio, "sample_s": sample_s})
        print(f"{name:<22}{rows[-1]['iteration_s']:12.3f}{ratio:8.2f}{sample_s:12.4f}")
    return {"device": str(device), "threads": torch.get_num_threads(), "batch_size": BATCH_SIZE, "settings": rows}


def iteration_of(model: argparse.Namespace, device: torch.device) -> tuple[Callable[[], None], float]:
    """A training iteration on one batch, which is on the device already, and the seconds of making a sample."""
    with scratch("benchmark") as folder:
        write_files(folder, model.audRate)
        loader = our_loader(folder, model, 1, device)
        sample_s = time_samples(loader)
        batches = iter(loader)
        batch = next(batches).to(device)
        batches.close()
    net = build_model(model, choose_engine(model.sparse_backend, device), device).train()
    optimizer = optimizer_of(model, net)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        net(batch.mixture, batch.clouds, batch.sources).loss.backward()
        optimizer.step()

    return run, sample_s
