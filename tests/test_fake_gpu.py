"""The CUDA paths on a make-believe GPU: no tensor meets one of another device, and nothing waits for it needlessly."""

from __future__ import annotations

import os
import subprocess
import sys

from conftest import ROOT
from tools import needs

WITH_GPU = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "OMP_NUM_THREADS": "1"}


def on_fake_gpu(*arguments):
    """Runs Python with these arguments, one process and one thread; its output if all is well."""
    needs("g++")
    result = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=ROOT, env=WITH_GPU, text=True, capture_output=True
    )
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-4000:]
    return result.stdout


def test_waits_and_launches():
    output = on_fake_gpu("-m", "pytest", "-p", "fake_gpu.plugin", "tests/on_fake_gpu")
    assert "passed" in output and "device mismatches: 0" in output
