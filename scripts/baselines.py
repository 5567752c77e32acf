"""Scores what needs no training on exactly the mixtures that a run was evaluated on.

    python scripts/baselines.py ckpt/<run> --output ckpt/baselines

writes a folder for each of the mixture itself, a non-negative matrix factorisation, the ideal binary and the ideal
ratio mask. scripts/compare.py takes these folders beside those of runs.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse

from arguments import run_argument
from reports.baselines import BASELINES, evaluate_baselines
from utils.errors import InputError, run_command
from utils.files import check_run_folder, read_json
from utils.options import ArgumentParser


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=run_argument, help="folder of an evaluated run")
    parser.add_argument("--output", type=Path, required=True, help="folder that gets a subfolder for each baseline")
    parser.add_argument(
        "--names", nargs="+", choices=BASELINES, default=list(BASELINES), metavar="NAME", help="which (default: all)"
    )
    options = parser.parse_args()
    check_run_folder(options.run)
    told = read_json(options.run / "config.json").get("options")
    if not isinstance(told, dict):
        raise InputError(f"{options.run / 'config.json'}: does not hold a run's options")
    for folder in evaluate_baselines(options.run, told, list(dict.fromkeys(options.names)), options.output):
        print(folder)


if __name__ == "__main__":
    run_command(main)
