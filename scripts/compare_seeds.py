"""Compares two ways of training over several seeds: how much their runs differ on the same mixtures.

    python scripts/compare_seeds.py --first ckpt/<plain, seed 0> ckpt/<plain, seed 1> --second ckpt/<other, seed 0> ...

The n-th run of the second way is compared with the n-th of the first, which was evaluated on the same mixtures.
Intervals are bootstrap intervals over mixtures; how much seeds matter is seen between the rows.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse

from arguments import run_argument
from reports.comparison import paired_difference, read_comparison
from utils.errors import InputError, run_command
from utils.metrics import METRICS
from utils.options import ArgumentParser


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--first", nargs="+", required=True, type=run_argument, metavar="RUN", help="a run of each seed"
    )
    parser.add_argument(
        "--second", nargs="+", required=True, type=run_argument, metavar="RUN", help="a run of each seed"
    )
    parser.add_argument("--score", default="sdr", choices=list(METRICS), help="what is compared (default: sdr)")
    options = parser.parse_args()
    if len(options.first) != len(options.second):
        raise InputError(f"{len(options.first)} runs and {len(options.second)}: name a run of each seed for both ways")
    print(f"{'first':>8}{'second':>8}  second less first, {METRICS[options.score].label}")
    both_ways: tuple[list[float], list[float]] = ([], [])
    for first, second in zip(options.first, options.second, strict=True):
        pairs = scores_of(first, second, options.score)
        for way, scores in zip(both_ways, pairs, strict=True):
            way += scores
        print(f"{row(*pairs)}  {second.name}")
    print(f"{row(*both_ways)}  all")


def scores_of(first: Path, second: Path, score: str) -> tuple[list[float], list[float]]:
    """A score of all mixtures that both runs scored.

    Raises:
        InputError: as `read_comparison`, or there are no such mixtures.
    """
    pairs = [[mixture.score(score) for mixture in pair] for pair in read_comparison([first, second]).pairs]
    scored = [pair for pair in pairs if None not in pair]
    if not scored:
        raise InputError(f"{first}, {second}: no mixture has this score in both: {score}")
    return tuple(map(list, zip(*scored, strict=True)))


def row(first: list[float], second: list[float]) -> str:
    """Both means, and their difference with its interval."""
    means = [sum(scores) / len(scores) for scores in (first, second)]
    return f"{means[0]:8.2f}{means[1]:8.2f}  {paired_difference(first, second)}, {len(first)} mixtures"


if __name__ == "__main__":
    run_command(main)
