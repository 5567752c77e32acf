"""Measures the parts of the system as ratios within one run: `python scripts/benchmark.py PART [--json FILE]`."""

from __future__ import annotations

import signal

# Ctrl-C while libraries load, in a worker too, ends without a traceback.
if __name__ in ("__main__", "__mp_main__") and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.agreement import benchmark_agreement
from benchmarks.data import benchmark_data
from benchmarks.metrics import benchmark_metrics
from benchmarks.scene import benchmark_scene
from benchmarks.separate import benchmark_separate
from benchmarks.sparse import benchmark_sparse
from benchmarks.step import benchmark_step

from utils.errors import run_command
from utils.files import replacing
from utils.options import ArgumentParser, whole

PARTS = {
    "agreement": benchmark_agreement,
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
        help="of step, last: options of main.py, such as --amp bf16; without any, plain iterations are run too",
    )
    parser.add_argument("--run", type=Path, help="of agreement: ckpt/<run>, evaluated")
    parser.add_argument("--kinds", nargs="+", help="of scene: the kinds of scenes to try; all, if none are given")
    parser.add_argument("--quick", action="store_true", help="of scene: one scene of each kind instead of four")
    parser.add_argument("--seed", type=whole(0), default=0, help="of scene: of the first scene of each kind")
    options = parser.parse_args()
    figures = PARTS[options.part](options)
    if options.json:
        with replacing(options.json) as temporary:
            temporary.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    run_command(main)
