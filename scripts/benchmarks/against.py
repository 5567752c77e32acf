"""This checkout against another one: iterations of both in turn, each in a process of its own."""

from __future__ import annotations

import argparse
import os
import random
import statistics
from pathlib import Path

from arguments import choose_device
from benchmarks.data import write_files
from benchmarks.turns import Worker, WorkerError
from utils.errors import InputError
from utils.leftovers import scratch

CLOUDS = [(1, 4700), (8, 4700), (16, 4700), (80, 4700)]  # clouds, voxels of each: SparseResNet18, forward and backward
SPARSE = """import torch
from benchmarks.sparse import step
from models.backend import shells
serve(step('builtin', shells({}, {}), torch.device({!r})))"""
TRAINING = """import torch
from benchmarks.race import our_iterations, our_loader
from benchmarks.step import training_options
from pathlib import Path
device, model = torch.device({device!r}), training_options({words!r})
serve(our_iterations(model, our_loader(Path({folder!r}), model, {iterations}, device), device).__next__)"""
WARM, TURN = 1, 2  # iterations of a turn: those that do not count, those that do, at least
SPARSE_TURN_S = 1.0  # more of them until then, as those of few clouds are short


def benchmark_against(options: argparse.Namespace, part: str) -> dict:
    """Seconds of this checkout's iterations and another's, and the median of the ratios of their turns.

    Raises:
        InputError: the other folder is no checkout, or its code does not run.
    """
    other = options.against.resolve()
    if not (other / "scripts" / "benchmarks").is_dir():
        raise InputError(f"--against {options.against}: not a checkout of this project: no scripts/benchmarks in it")
    device = str(choose_device(options.device))
    print(f"iterations here and in {options.against}, in turn; {device}, {options.pairs} turns each, medians")
    print(f"{'':<24}{'here s':>9}{'there s':>9}{'ratio':>8}{'quartiles':>14}")
    if part == "sparse":
        rows = [
            compare(
                f"{clouds} x {voxels} voxels",
                other,
                options.pairs,
                SPARSE.format(clouds, voxels, device),
                SPARSE_TURN_S,
            )
            for clouds, voxels in CLOUDS
        ]
    else:
        iterations = 2 + options.pairs * (WARM + TURN)
        with scratch("benchmark") as folder:
            write_files(folder)
            code = TRAINING.format(device=device, words=options.training, folder=str(folder), iterations=iterations)
            rows = [compare("training iteration", other, options.pairs, code)]
    return {"device": device, "rows": rows}


def compare(name: str, other: Path, rounds: int, code: str, turn_s: float = 0.0) -> dict:
    """Prints and gives a row of the table."""
    try:
        here, there = take_turns(other, rounds, code, turn_s)
    except WorkerError as error:
        raise InputError(f"--against: {error}") from error
    ratios = [a / b for a, b in zip(here, there, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if rounds > 1 else ratios * 3
    row = {"what": name, "here_s": statistics.median(here), "there_s": statistics.median(there)}
    row |= {"ratio": middle, "ratio_quartiles": [low, high]}
    print(
        f"{name:<24}{row['here_s']:9.3f}{row['there_s']:9.3f}{middle:8.2f}{f'{low:.2f} .. {high:.2f}':>14}", flush=True
    )
    return row


def take_turns(other: Path, rounds: int, code: str, turn_s: float) -> tuple[list[float], list[float]]:
    """Seconds of an iteration in every turn, here and there: medians. Who goes first in a round is drawn."""
    seconds: tuple[list[float], list[float]] = [], []
    with Worker(code, dict(os.environ)) as here, Worker(code, dict(os.environ), other) as there:
        workers = [(here, seconds[0]), (there, seconds[1])]
        for turn in range(rounds):
            for worker, taken in random.Random(turn).sample(workers, 2):
                worker.begin(WARM + TURN, turn_s)
                taken.append(statistics.median(worker.taken_s()[WARM:]))
    return seconds
