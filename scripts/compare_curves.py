"""Prints the training losses of runs, epoch by epoch, and how far each differs from the first one's.

    python scripts/compare_curves.py ckpt/<run> ckpt/<the same with --amp bf16>

All runs have as many epochs; validation losses, which best weights are chosen by, are on each run's page.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse
import math

from arguments import run_argument
from runs.state import HISTORY, read_history
from utils.errors import InputError, run_command
from utils.files import check_run_folder
from utils.options import ArgumentParser


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", metavar="RUN", type=run_argument, help="folder of a run")
    parser.add_argument(
        "others", metavar="OTHER", nargs="+", type=run_argument, help="folders of runs with as many epochs"
    )
    options = parser.parse_args()
    first = read_curve(options.first)
    others = [read_curve(run) for run in options.others]
    for run, curve in zip(options.others, others, strict=True):
        if curve.keys() != first.keys():
            raise InputError(f"{run}: {len(curve)} epochs of training, but {len(first)} in {options.first}")
    differences = [{epoch: _per_cent(curve[epoch], first[epoch]) for epoch in first} for curve in others]
    for number, run in enumerate((options.first, *options.others), 1):
        print(f"run {number}: {run}")
    for epoch, loss in first.items():
        columns = [f"{curve[epoch]:.4f} ({by[epoch]:+.1f} %)" for curve, by in zip(others, differences, strict=True)]
        print(f"epoch {epoch:3}   {loss:.4f}   {'   '.join(columns)}")
    for number, by in enumerate(differences, 2):
        sizes = [abs(value) for value in by.values()]
        most, mean = max(sizes), sum(sizes) / len(sizes)
        print(f"run {number} is within {most:.2f} % of run 1 in every epoch, {mean:.2f} % on average")


def _per_cent(loss: float, first: float) -> float:
    """How much more a loss is than the first run's; NaN where that is zero."""
    return 100 * (loss / first - 1) if first else math.nan


def read_curve(run: Path) -> dict[int, float]:
    """The mean training loss of each epoch of a run.

    Raises:
        InputError: no epoch of it is finished, or its history cannot be read.
    """
    check_run_folder(run)
    history = read_history(run)
    if not history or not history["train"]:
        raise InputError(f"{run / HISTORY}: no epoch of training yet")
    return {row["epoch"]: row["loss"] for row in history["train"]}


if __name__ == "__main__":
    run_command(main)
