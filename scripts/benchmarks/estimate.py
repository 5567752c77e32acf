"""What a training iteration would take on an H100: counted on a simulated GPU, not measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from utils.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
BATCH_SIZE = 40  # as in the paper
LAUNCH_US = (5, 10)  # between these lies what PyTorch takes to launch an operation


def estimate_step(words: list[str]) -> dict:
    """Waits, launches and the least time of an iteration with the options `words` of main.py, printed as an estimate.

    Raises:
        InputError: the simulated GPU does not run here.
    """
    command = [sys.executable, "-m", "fake_gpu", str(Path(__file__).with_name("on_fake_gpu.py")), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    if run.returncode:
        raise InputError(f"the simulated GPU, which needs g++: {(run.stderr.splitlines() or ['no output'])[-1]}")
    found = json.loads(run.stdout.splitlines()[-1])
    (small, large), iterations = found["batches"], found["iterations"]
    first, last = (iteration["computing_s"] for iteration in iterations)
    computing = last + (last - first) * (BATCH_SIZE - large) / (large - small)
    launches, waits = (iterations[-1][name] for name in ("launches", "waits"))
    launching = [launches * microseconds / 1e6 for microseconds in LAUNCH_US]
    slowest, fastest = (BATCH_SIZE / max(computing, seconds) for seconds in reversed(launching))
    print(
        f"ESTIMATE, not measured: an iteration of {BATCH_SIZE} mixtures on an H100, counted on a simulated GPU\n"
        f"{'waits of the host':<34}{waits:8}\n"
        f"{'launches':<34}{launches:8}   {1e3 * launching[0]:.0f} to {1e3 * launching[1]:.0f} ms at "
        f"{LAUNCH_US[0]} to {LAUNCH_US[1]} us each\n"
        f"{'arithmetic and memory traffic':<34}{1e3 * computing:8.1f}   ms at the rates of its data sheet\n"
        f"{'samples a second, at most':<34}{slowest:8.0f}   to {fastest:.0f}"
    )
    return {"estimate": {"batch_size": BATCH_SIZE, "waits": waits, "launches": launches, "computing_s": computing}}
