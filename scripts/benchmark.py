"""Measures the parts of the system as ratios within one run: `python scripts/benchmark.py PART [--json FILE]`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse
import json

from benchmarks.against import benchmark_against
from benchmarks.agreement import benchmark_agreement
from benchmarks.bands import benchmark_bands
from benchmarks.busy import benchmark_busy
from benchmarks.data import benchmark_data
from benchmarks.metrics import benchmark_metrics
from benchmarks.scene import benchmark_scene
from benchmarks.separate import benchmark_separate
from benchmarks.sparse import benchmark_sparse
from benchmarks.step import benchmark_step

from arguments import run_argument
from utils.errors import InputError, run_command
from utils.files import replacing
from utils.options import ArgumentParser, whole

PARTS = {
    "agreement": benchmark_agreement,
    "bands": benchmark_bands,
    "busy": benchmark_busy,
    "data": benchmark_data,
    "metrics": benchmark_metrics,
    "scene": benchmark_scene,
    "separate": benchmark_separate,
    "sparse": benchmark_sparse,
    "step": benchmark_step,
}


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("part", choices=list(PARTS), help="what to measure")
    parser.add_argument("--json", type=Path, help="file to write the same figures to")
    parser.add_argument("--pairs", type=whole(1), default=7, help="rounds; medians are shown")
    parser.add_argument("--device", default="auto", choices=["auto", "cuda", "cpu", "mps"])
    parser.add_argument(
        "--with",
        dest="training",
        nargs=argparse.REMAINDER,
        default=[],
        help="step only, comes last: options of main.py, such as --amp bf16; without any, plain iterations are run too",
    )
    parser.add_argument("--run", type=run_argument, help="agreement only: ckpt/<run>, evaluated")
    parser.add_argument("--kinds", nargs="+", help="scene only: the kinds of scenes to try; all, if none are given")
    parser.add_argument("--quick", action="store_true", help="scene only: one scene of each kind instead of four")
    parser.add_argument("--seed", type=whole(0), default=0, help="scene only: seed of the first scene of each kind")
    parser.add_argument(
        "--against",
        type=Path,
        help="sparse and step only: another checkout of this project, whose iterations take turns",
    )
    options = parser.parse_args()
    if options.against and options.part not in ("sparse", "step"):
        raise InputError(f"--against does not go with {options.part}: it is for sparse and step")
    figures = benchmark_against(options, options.part) if options.against else PARTS[options.part](options)
    if options.json:
        with replacing(options.json) as temporary:
            temporary.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    run_command(main)
