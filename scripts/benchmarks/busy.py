"""What a busy machine costs: iterations alone, and beside a second process that does the same, by OpenMP's settings.

Threads of OpenMP that wait for work spin for a while before they sleep. On a quiet machine that saves time; beside
other work it takes the cores from those who have something to do.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.turns import Worker
from utils.parallel import usable_cores

WORKS = ("training", "pretraining")  # iterations of the demo's
SETTINGS = {  # of OpenMP, by name: environment variables
    "PyTorch's own": {},
    "ours": None,  # what utils.threads sets: few spins for a process that starts beside others
    "do not spin": {"OMP_WAIT_POLICY": "PASSIVE"},
}
NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
TURNS, ALONE_S, BESIDE_S = 4, 2.0, 3.0  # iterations and seconds alone, seconds beside another process: in a round
ROUNDS_OF_PROCESSES = 3  # then new ones start: some are faster than others for as long as they live
START_S = 3.0  # a process works so long while another starts


def benchmark_busy(options: argparse.Namespace) -> dict:
    """Seconds of an iteration alone and beside another process, of the slower one of the two, for each setting.

    Processes of all settings stand ready, and take turns in random order: what is alone is alone on the machine, and
    what changes on it meanwhile changes for all. The second process of a pair was started while the first one worked.
    """
    rounds = max(2, options.pairs)
    print(f"{usable_cores()} cores, {rounds} rounds; fair is twice the shortest median alone; medians")
    print(f"{'work':<14}{'setting':<20}{'alone s':>9}{'to own':>8}{'beside s':>10}{'to fair':>9}")
    rows = []
    for work in WORKS:
        alone, beside = measure(work, rounds)
        fair = 2 * min(statistics.median(seconds) for seconds in alone.values())
        for name in SETTINGS:
            row = {"work": work, "setting": name, "alone_s": statistics.median(alone[name])}
            row["to_own"] = statistics.median(a / b for a, b in zip(alone[name], alone["PyTorch's own"], strict=True))
            row["beside_s"] = statistics.median(beside[name])
            row["to_fair"] = row["beside_s"] / fair
            rows.append(row)
            print(
                f"{work:<14}{name:<20}{row['alone_s']:9.3f}{row['to_own']:8.2f}"
                f"{row['beside_s']:10.3f}{row['to_fair']:9.2f}",
                flush=True,
            )
    return {"cores": usable_cores(), "rounds": rounds, "settings": rows}


def measure(work: str, rounds: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Median seconds of an iteration in each round, by setting: alone, and of the slower one of two processes."""
    alone = {name: [] for name in SETTINGS}
    beside = {name: [] for name in SETTINGS}
    for first in range(0, rounds, ROUNDS_OF_PROCESSES):
        with ExitStack() as stack:
            pairs = {name: start_pair(work, SETTINGS[name], stack) for name in SETTINGS}
            for turn in range(first, min(first + ROUNDS_OF_PROCESSES, rounds)):
                take_turns(pairs, turn, alone, beside)
    return alone, beside


def take_turns(
    pairs: dict[str, list[Worker]], turn: int, alone: dict[str, list[float]], beside: dict[str, list[float]]
) -> None:
    """Adds a round to both measures, in an order of its own."""
    order = random.Random(turn).sample(list(pairs), len(pairs))
    for name in order:
        pairs[name][0].begin(iterations=TURNS, seconds=ALONE_S)
        alone[name].append(pairs[name][0].median_s())
    for name in order:
        for worker in pairs[name]:
            worker.begin(seconds=BESIDE_S)
        beside[name].append(max([worker.median_s() for worker in pairs[name]]))


def start_pair(work: str, variables: dict[str, str] | None, stack: ExitStack) -> list[Worker]:
    """Two processes, the first of which works while the second one starts."""
    first = stack.enter_context(worker_of(work, variables))
    first.begin(seconds=START_S)
    second = stack.enter_context(worker_of(work, variables))
    first.taken_s()
    return [first, second]


def worker_of(work: str, variables: dict[str, str] | None) -> Worker:
    """A process with such variables of OpenMP; with those that our commands set, if None."""
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    code = "" if variables is not None else "from utils.threads import share_cores; share_cores()\n"
    code += f"from benchmarks.busy import iteration_of; serve(iteration_of({work!r}))"
    return Worker(code, environment | (variables or {}))


def iteration_of(work: str) -> Callable[[], None]:
    """A step of the demo's training (its vision net's trunk stays as it is) or pretraining, on random numbers."""
    import torch

    from models.audio_net import Unet
    from models.backend import shells
    from models.minkowski_net import SparseResNet18

    vision = SparseResNet18(16)
    coordinates, features = shells(32 if work == "training" else 16, 1500)
    sound = Unet(16, num_downs=6, ngf=16).to(memory_format=torch.channels_last)
    spectra = torch.randn(16, 1, 256, 64).to(memory_format=torch.channels_last)

    def train() -> None:
        with torch.no_grad():
            vision(coordinates, features)
        sound(spectra).square().mean().backward()

    def pretrain() -> None:
        vision(coordinates, features).square().mean().backward()

    return train if work == "training" else pretrain
