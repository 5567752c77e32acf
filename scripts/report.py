"""Makes the page of an evaluated run again, or compares several runs on the same mixtures.

    python scripts/report.py ckpt/<run>                   writes ckpt/<run>/report/index.html
    python scripts/report.py ckpt/<runA> ckpt/<runB>      writes ckpt/comparison/index.html

Pages open from disk, without a network; a page's folder can be zipped and sent.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse

from arguments import run_argument
from reports.comparison import write_comparison_page
from reports.run_page import write_run_page
from utils.errors import InputError, run_command
from utils.files import real_path
from utils.options import ArgumentParser


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUN", nargs="+", type=run_argument, help="folder of an evaluated run")
    parser.add_argument(
        "--output", type=Path, help="folder of a comparison (default: comparison, beside the first run)"
    )
    options = parser.parse_args()
    if len({real_path(run) for run in options.runs}) < len(options.runs):
        raise InputError("a run is named twice; a comparison needs different ones")
    if len(options.runs) == 1:
        if options.output:
            raise InputError("--output is for comparisons: the page of one run is in its own folder")
        print(f"wrote {write_run_page(options.runs[0])}")
        return
    page, comparison = write_comparison_page(options.runs, options.output or options.runs[0].parent / "comparison")
    first, *others = comparison.runs
    for run in others:
        print(f"{run} less {first}: SDR {comparison.difference(run, 'sdr')} dB, {len(comparison.pairs)} mixtures")
    print(f"wrote {page}")


if __name__ == "__main__":
    run_command(main)
