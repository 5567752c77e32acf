"""Pretraining on a small folder in ModelNet40's layout, and its use in training."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT, write_cloud

from models import ModelBuilder, start_from_classifier

OPTIONS = [
    *("--num_epoch", "10", "--batch_size", "8", "--optimizer", "adam", "--lr", "1e-3", "--voxel_size", "0.1"),
    *("--augment", "0.1", "--device", "cpu"),
]


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Two classes that differ plainly: tall clouds and flat ones."""
    root = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(0)
    for name, size in (("flat", (1, 0.1, 1)), ("tall", (0.2, 2, 0.2))):
        for part, count in (("train", 8), ("test", 4)):
            for k in range(count):
                write_cloud(root / name / part / f"{k}.ply", rng.uniform(-1, 1, (400, 3)) * size)
    return root


def pretrain(*arguments):
    command = [sys.executable, ROOT / "scripts" / "pretrain_vision.py", *OPTIONS, *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


def test_it_learns_and_the_vision_net_takes_it(classes, tmp_path):
    output = tmp_path / "classifier.pth"
    result = pretrain("--data", classes, "--output", output)
    assert result.returncode == 0, result.stderr
    assert "epoch 10: " in result.stdout and " 100.0 % of the test clouds named" in result.stdout
    stored = torch.load(output, weights_only=True)
    assert stored["classes"] == ["flat", "tall"] and stored["state_dict"]["final.linear.weight"].shape == (2, 512)
    start_from_classifier(ModelBuilder().build_vision("sparseresnet18", 4), output)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "/nowhere"], "/nowhere: no such folder"),
        (["--rgbs_feature", "1"], "has no colours; use --rgbs_feature 0"),
        (["--lr", "0"], "--lr"),
    ],
)
def test_bad_input_is_one_line(classes, tmp_path, options, message):
    result = pretrain("--data", classes, "--output", tmp_path / "a.pth", *options)
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and message in result.stderr
    assert not list(tmp_path.iterdir())
