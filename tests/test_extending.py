"""What docs/extending.md says is done: its diffs and files are put into a copy of the code, which is then run."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT, training_mixtures, write_cloud
from tiny_runs import TINY, run_of

from arguments import build_parser
from dataset.index import read_index, write_index

TEXT = (ROOT / "docs" / "extending.md").read_text()
DIFFS = re.findall(r"^```diff\n(.*?)^```$", TEXT, re.M | re.S)
FILES = dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```$", TEXT, re.M | re.S))
PACKAGES = ("dataset", "models", "reports", "runs", "scripts", "separation", "utils")


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Path:
    """A copy of the code with everything that the document adds."""
    root = tmp_path_factory.mktemp("extended")
    for path in ROOT.glob("*.py"):
        shutil.copy(path, root)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for number, diff in enumerate(DIFFS):
        patch = root / f"{number}.patch"
        patch.write_text(diff)
        done = subprocess.run(["git", "apply", "--recount", patch.name], cwd=root, capture_output=True, text=True)
        assert done.returncode == 0, f"{done.stderr}\n{diff}"
    for name, text in FILES.items():
        (root / name).write_text(text)
    return root


def python(folder: Path, *words) -> str:
    """What a command prints that must end well."""
    done = subprocess.run([sys.executable, *map(str, words)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_document_shows_all_that_it_is_about():
    changed = {name for diff in DIFFS for name in re.findall(r"^\+\+\+ b/(.*)$", diff, re.M)}
    assert changed == {"models/synthesizer_net.py", "models/__init__.py", "utils/metrics.py", "models/backend.py"}
    assert set(FILES) == {"models/sparse_plain.py", "link_concerts.py", "concert_rows.py"}


COMPARE = """
import sys
import torch
from models import sparse
from models.backend import choose_engine, shells
from models.minkowski_net import SparseResNet18
from separation import Separator
from utils.metrics import METRICS

assert type(Separator.from_run(sys.argv[1]).net.synthesizer).__name__ == "Gated"
torch.manual_seed(0)
engine = choose_engine("plain", torch.device("cpu"))
nets = [SparseResNet18(8, module).double() for module in (sparse, engine)]
nets[1].load_state_dict(nets[0].state_dict())
coordinates, features = shells(3, 300)
outputs = [net(coordinates, features.double(), group_size=1) for net in nets]
for output in outputs:
    output.square().sum().backward()
torch.testing.assert_close(outputs[1], outputs[0])
for one, other in zip(*(net.parameters() for net in nets), strict=True):
    torch.testing.assert_close(one.grad, other.grad)
for one, other in zip(*(net.buffers() for net in nets), strict=True):
    torch.testing.assert_close(one, other)

source = torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64)
assert abs(METRICS["snr"].compute(source, source + torch.tensor([0.3, 0.0, 0.0])) - 20) < 1e-6  # 9 to 0.09
"""


def test_a_run_with_a_new_fusion_score_and_engine(extended, tree, rows):
    """Trained for an epoch, scored, on the run's page, and built again from what was stored."""
    write_index(tree / "list.csv", rows[::3])
    options = ["--list_train", "list.csv", "--list_val", "list.csv", "--num_epoch", 1, "--tensorboard", 0]
    options += ["--arch_synthesizer", "gated", "--sparse_backend", "plain"]
    printed = python(tree, extended / "main.py", *TINY, *options)
    assert "sparse engine: plain" in printed and re.search(r"SI-SDR +SNR +LSD", printed)
    run = run_of(tree / "ckpt")
    assert "-gated-" in run.name
    weights = torch.load(run / "synthesizer_best.pth", weights_only=True)
    assert weights["scale"].shape == (4, 1, 1) and not torch.equal(weights["scale"], torch.ones(4, 1, 1))

    metrics = json.loads((run / "metrics.json").read_text())
    with open(run / "metrics.csv") as file:
        (first, *_) = csv.DictReader(file)
    for column in ("snr", "snr_mixture"):
        assert np.isfinite(metrics[column]) and np.isfinite(float(first[f"{column}_1"]))
    assert metrics["snr_improvement"] == pytest.approx(metrics["snr"] - metrics["snr_mixture"])
    assert any('"SNR"' in path.read_text() for path in (run / "report").glob("*.js"))
    python(extended, "-c", COMPARE, run)


@pytest.fixture
def concerts(tmp_path) -> Path:
    """Six concerts of a cello and a violin, as the document describes them."""
    rng = np.random.default_rng(0)
    for k in range(6):
        for instrument, lowest in (("cello", 65), ("violin", 196)):
            notes = lowest * 2 ** (rng.integers(0, 24, 8) / 12)  # Hz, of half a second each
            melody = 0.3 * np.sin(2 * np.pi * np.cumsum(notes.repeat(5512)) / 11025)
            recording = tmp_path / "concerts" / f"evening {k}" / f"{instrument}.wav"
            recording.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(recording, melody, 11025)
            for number in (7, 31, 100):
                rgb = rng.integers(0, 256, (50, 3))
                write_cloud(recording.with_suffix("") / f"frame-{number:03d}.ply", rng.uniform(-0.5, 0.5, (50, 3)), rgb)
    return tmp_path / "concerts"


def samples_of(rows) -> list:
    options = build_parser().parse_args(["--audLen", "8191", "--voxel_size", "0.1"])
    mixtures = training_mixtures(rows, options)
    return [mixtures[0, index] for index in range(len(mixtures))]


def test_a_data_set_by_links(concerts, extended, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # index files have paths below it
    python(tmp_path, extended / "link_concerts.py", "concerts", "data")
    printed = python(tmp_path, extended / "scripts" / "create_index_files.py", "--split", "performers")
    assert "12 recordings in the lists, 0 files and folders left out" in printed
    checked = [f"--list_{part}=data/{part}.csv" for part in ("train", "val")]
    assert "\n0 error(s)" in python(tmp_path, extended / "scripts" / "check_data.py", *checked)
    for sample in samples_of(read_index(tmp_path / "data" / "train.csv")):
        assert {draw.row.instrument for draw in sample.draws} == {"cello", "violin"}


def test_a_data_set_by_rows_of_its_own(concerts, extended):
    spec = importlib.util.spec_from_file_location("concert_rows", extended / "concert_rows.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = module.concert_rows(concerts)
    assert [row.instrument for row in rows[:2]] == ["cello", "violin"] and len(rows) == 12
    assert rows[0].frame_path(2).endswith("frame-100.ply")
    for sample in samples_of(rows):
        assert sample.waves.shape == (2, 8191) and abs(sample.waves).max() > 0.05 and len(sample.clouds) == 2
