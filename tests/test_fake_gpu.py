"""The CUDA paths on a simulated GPU: no tensor meets one of another device, and nothing waits for it needlessly."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
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


@pytest.mark.parametrize("name", ["counts", "commands"])
def test_on_the_make_believe_gpu(name):
    output = on_fake_gpu("-m", "pytest", "-p", "fake_gpu.plugin", f"tests/on_fake_gpu/test_{name}.py")
    assert "passed" in output and "device mismatches: 0" in output


def test_layers_on_the_make_believe_gpu():
    files = [f"tests/test_{name}.py" for name in ("sparse", "separation_net", "reference", "metrics")]
    output = on_fake_gpu("-m", "pytest", "-p", "fake_gpu.plugin", "-k", "cuda", *files)
    assert "passed" in output and "device mismatches: 0" in output


def test_estimate_of_a_step(tmp_path):
    """Where there is no GPU the benchmark counts on this one, and says that it is an estimate."""
    if torch.cuda.is_available():
        pytest.skip("a GPU is measured")
    found = tmp_path / "step.json"
    options = ["--json", found, "--with", "--arch_sound", "unet5", "--ngf", "8", "--audLen", "8191", "--amp", "bf16"]
    output = on_fake_gpu("scripts/benchmark.py", "step", "--device", "cuda", *options)
    assert "ESTIMATE, not measured" in output
    estimate = json.loads(found.read_text())["estimate"]
    assert estimate["waits"] == 2 and estimate["launches"] < 1800 and estimate["computing_s"] > 0
