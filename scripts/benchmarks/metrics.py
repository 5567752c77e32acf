"""The scores of an evaluation: `--bss_eval fast` against mir_eval, each on one core, in turn."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
from functools import partial

import torch

from arguments import choose_device
from benchmarks.timing import time_in_turn
from utils.bss_eval import fast_bss_eval, mir_eval_bss_eval

WINDOW = 65280  # samples that the published spectrogram gives back, 5.9 s
FULL_BAND = 4 * WINDOW  # the same time at 44.1 kHz
BATCHES = [(1, 2, WINDOW), (8, 2, WINDOW), (1, 3, WINDOW), (1, 2, FULL_BAND)]  # mixtures, sources of each, samples
METHODS = {"mir_eval": mir_eval_bss_eval, "fast": fast_bss_eval}


def benchmark_metrics(options: argparse.Namespace) -> dict:
    """SDR, SIR and SAR with and without the SDR of the unprocessed mixture, by both methods."""
    device = choose_device(options.device)
    print(f"BSS Eval, fast on {device}, one thread, {options.pairs} pairs; seconds, and fast / mir_eval")
    print(f"{'':27}{'with the SDR of the mixture':>32}{'without':>32}{'largest':>12}")
    columns = f"{'mir_eval':>12}{'fast':>12}{'ratio':>8}"
    print(f"{'mixtures':>9}{'sources':>9}{'samples':>9}{columns}{columns}{'differ. dB':>12}")
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    os.environ |= threads  # NumPy reads them when it is imported: in a process of its own
    rows = []
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for mixtures, sources, samples in BATCHES:
            row = pool.apply(measure, (mixtures, sources, samples, options.pairs, str(device)))
            cells = "".join(
                f"{row[f'mir_eval_{which}_s']:12.3f}{row[f'fast_{which}_s']:12.3f}{row[f'ratio_{which}']:8.2f}"
                for which in ("with_mixture", "estimates")
            )
            print(f"{mixtures:9}{sources:9}{samples:9}{cells}{row['difference_db']:12.1e}", flush=True)
            rows.append(row)
    return {"device": str(device), "threads": 1, "metrics": rows}


def measure(mixtures: int, num_sources: int, samples: int, pairs: int, device: str) -> dict:
    """Medians of the seconds that B mixtures of N sources take, and of the ratios within each round."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    sources, noise = torch.randn(2, mixtures, num_sources, samples, generator=generator, dtype=torch.float64)
    estimates, mixture = sources + 0.1 * sources.roll(1, dims=1) + 0.1 * noise, sources.sum(dim=1, keepdim=True)
    places = {"mir_eval": "cpu", "fast": device}
    row: dict = {"mixtures": mixtures, "sources": num_sources, "samples": samples}
    scores = {}
    for which, others in (("with_mixture", mixture), ("estimates", mixture[:, :0])):
        steps = {
            name: partial(METHODS[name], *(waves.to(places[name]) for waves in (sources, estimates, others)))
            for name in METHODS
        }
        slow, fast = time_in_turn(list(steps.values()), pairs, torch.device(device))
        row |= {f"mir_eval_{which}_s": statistics.median(slow), f"fast_{which}_s": statistics.median(fast)}
        row[f"ratio_{which}"] = statistics.median(f / s for f, s in zip(fast, slow, strict=True))
        if which == "with_mixture":
            scores = {name: [part.cpu() for part in step()] for name, step in steps.items()}
    differences = zip(scores["fast"], scores["mir_eval"], strict=True)
    return row | {"difference_db": max((a - b).abs().max().item() for a, b in differences)}
