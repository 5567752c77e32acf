"""Writes the paper's table of evaluated runs: by what the separation is conditioned on and the number of sources.

    python scripts/compare.py ckpt/<label run> ckpt/<depth run> ckpt/<rgb-depth run> --output ckpt/comparison-table

Runs with the same number of sources must have been evaluated on the same mixtures. scripts/compare.sh trains and
evaluates them, then calls this.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse

from arguments import run_argument
from reports.table import as_markdown, read_rows, write_table
from utils.errors import InputError, run_command
from utils.files import real_path
from utils.options import ArgumentParser


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUN", nargs="+", type=run_argument, help="folder of an evaluated run")
    parser.add_argument("--output", type=Path, default=Path("ckpt/comparison-table"), help="folder for the table")
    options = parser.parse_args()
    if len({real_path(run) for run in options.runs}) < len(options.runs):
        raise InputError("a run is named twice")
    rows = read_rows(options.runs)
    paths = write_table(rows, options.output)
    print(f"dB, means and their 95 % intervals by a bootstrap over mixtures\n\n{as_markdown(rows)}")
    print(f"wrote {', '.join(map(str, paths))}")


if __name__ == "__main__":
    run_command(main)
