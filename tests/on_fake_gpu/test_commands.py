"""Whole commands with `--device cuda`: no tensor meets one of another device. Run by tests/test_fake_gpu.py."""

from __future__ import annotations

import sys

import pytest

if "fake_gpu.device" not in sys.modules:
    pytest.skip("needs the simulated GPU: -p fake_gpu.plugin", allow_module_level=True)

import benchmark
import numpy as np
import pretrain_vision
import separate
import soundfile
from benchmarks.metrics import measure
from conftest import write_cloud
from fake_gpu.device import LEDGER
from processes import SMALL

import main
from utils.errors import run_command

BASE = [*SMALL, "--device", "cuda", "--num_val", "3", "--num_epoch", "1", "--batch_size_per_gpu", "3", "--id", "gpu"]


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """A vision net as deep as the real one, and far smaller; no page, which has nothing to do with a GPU."""
    monkeypatch.setattr("models.minkowski_net.STAGE_CHANNELS", (8, 8, 8, 8))
    monkeypatch.setattr("main.write_run_page", lambda run: None)
    monkeypatch.setattr("models.backend.import_triton", lambda: None)
    monkeypatch.setattr("models.backend.import_minkowski", lambda: None)
    LEDGER.clear()


def call(command, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        run_command(command)
    assert not end.value.code
    assert not LEDGER.mismatches, LEDGER.report()


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--num_frames", "2", "--frame_pool", "avgpool"],
        ["--num_mix", "3", "--output_activation", "softmax"],
        ["--distinct", "0", "--rgbs_feature", "1", "--weighted_loss", "1"],
        ["--binary_mask", "0", "--loss", "l1", "--log_freq", "0", "--stft_frame", "1022"],
        ["--arch_vision", "label"],
        ["--amp", "bf16", "--channels_last", "yes"],
        ["--amp", "fp16", "--optimizer", "adam"],
        ["--grad_checkpoint", "1", "--accumulate", "2"],
        ["--sync_bn", "1", "--deterministic", "1", "--tf32", "no", "--arch_synthesizer", "bias"],
        ["--conditioning_report", "1", "--num_vis", "2"],
        ["--bss_eval", "mir_eval"],
    ],
    ids=lambda options: " ".join(options) or "defaults",
)
def test_training(options, tree, monkeypatch):
    call(main.main, monkeypatch, *BASE, *options)


def test_training_with_compile(tree, monkeypatch):
    """What surrounds a compiled net. PyTorch does not compile while the simulated GPU listens to its operations, and
    runs the net as it is: what a GPU's compiler makes of it is not seen here."""
    monkeypatch.setattr("models.check_compiler", lambda device: None)
    call(main.main, monkeypatch, *BASE, "--compile", "1")
    call(main.main, monkeypatch, *BASE, "--compile", "1", "--num_epoch", "2", "--resume", "1")


def test_resuming_and_evaluating(tree, monkeypatch):
    call(main.main, monkeypatch, *BASE)
    call(main.main, monkeypatch, *BASE, "--num_epoch", "2", "--resume", "1")
    (run,) = (tree / "ckpt").iterdir()
    call(main.main, monkeypatch, *BASE, "--mode", "eval", "--id", run.name, "--conditioning_report", "1")


def test_pretraining(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for name, size in (("flat", (1, 0.1, 1)), ("tall", (0.2, 2, 0.2))):
        for part in ("train", "test"):
            for k in range(4):
                write_cloud(tmp_path / "data" / name / part / f"{k}.ply", rng.uniform(-1, 1, (300, 3)) * size)
    options = ["--batch_size", "4", "--voxel_size", "0.1", "--workers", "0", "--num_epoch", "1", "--eval_epoch", "1"]
    options += ["--data", tmp_path / "data", "--output", tmp_path / "trunk.pth", "--device", "cuda"]
    call(pretrain_vision.main, monkeypatch, *options)


def test_separating(tree, monkeypatch):
    call(main.main, monkeypatch, *BASE)
    (run,) = (tree / "ckpt").iterdir()
    rng = np.random.default_rng(0)
    soundfile.write("song.wav", rng.uniform(-0.1, 0.1, (30000, 2)), 11025)
    for name in ("cello", "violin"):
        write_cloud(tree / f"{name}.ply", rng.uniform(-0.5, 0.5, (500, 3)) * (1, 3, 1))
    seen = ["--points", "cello.ply", "violin.ply", "--device", "cuda", "--output", "out"]
    call(separate.main, monkeypatch, "--mixture", "song.wav", "--run", run, *seen)


def test_benchmark_of_separation(monkeypatch):
    """Speed alone: memory is measured by a command in a process of its own, which `test_separating` runs here."""
    monkeypatch.setattr("benchmarks.separate.SECONDS", 3)
    monkeypatch.setattr("benchmarks.separate.measure_memory", lambda *_: {"peak_mib": 1.0})
    monkeypatch.setattr("benchmarks.separate.measure_onnx", lambda *_: None)  # of the CPU
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "separate", "--pairs", "1", "--device", "cuda"])
    benchmark.main()
    assert not LEDGER.mismatches, LEDGER.report()


def test_benchmark_of_agreement(tree, monkeypatch):
    call(main.main, monkeypatch, *BASE)
    (run,) = (tree / "ckpt").iterdir()
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "agreement", "--run", str(run), "--device", "cuda"])
    benchmark.main()
    assert not LEDGER.mismatches, LEDGER.report()


def test_benchmark_of_engines(monkeypatch):
    monkeypatch.setattr("benchmarks.sparse.BATCHES", [(2, 200)] * 3)
    monkeypatch.setattr("benchmarks.sparse.GROWTH", [200])
    monkeypatch.setattr("benchmarks.sparse.import_triton", lambda: None)
    for place in ("sparse", "groups"):
        monkeypatch.setattr(f"benchmarks.{place}.peak_memory", lambda *_: 1.0)  # measured by a process of its own
    monkeypatch.setattr("benchmarks.sparse.time_shares", lambda run: {})
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "sparse", "--pairs", "1", "--device", "cuda"])
    benchmark.main()
    assert not LEDGER.mismatches, LEDGER.report()


def test_benchmark_of_bands(monkeypatch):
    small = ["--arch_sound", "unet5", "--ngf", "2", "--voxel_size", "0.1", "--audLen", "8191"]
    at_twice_the_rate = [*small, "--audRate", "22050", "--stft_frame", "2046", "--stft_hop", "512", "--audLen", "16383"]
    monkeypatch.setattr("benchmarks.bands.SETTINGS", {"one": small, "two": [*at_twice_the_rate, "--log_bins", "128"]})
    monkeypatch.setattr("benchmarks.data.SECONDS", 3.0)
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "bands", "--pairs", "1", "--device", "cuda"])
    benchmark.main()
    assert not LEDGER.mismatches, LEDGER.report()


def test_benchmark_of_scores():
    assert measure(mixtures=2, num_sources=2, samples=8192, pairs=1, device="cuda")["difference_db"] < 1e-6
    assert not LEDGER.mismatches, LEDGER.report()
