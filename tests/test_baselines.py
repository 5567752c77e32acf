"""What needs no training: its estimates on known sources, and as rows of the table."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from conftest import ROOT
from test_main import TRAIN, main, python
from tiny_runs import run_of

from reports.baselines import BASELINES, separate
from reports.table import read_rows
from utils.metrics import score


def tones(*pitches_hz, length=8192):
    """Tones that come and go, each at its own rate, `[N, L]`."""
    time, waves = torch.arange(length) / 11025, []
    for n, hz in enumerate(pitches_hz):
        waves.append(0.2 * torch.sin(2 * np.pi * hz * time) * (1 + torch.sin(9 * (n + 1) * time)))
    return torch.stack(waves)


def improvement(name, sources):
    estimates = separate(name, sources, 1022, 256)
    assert estimates.shape == sources.shape
    (scores,) = score(sources[:, None], estimates[:, None], sources.sum(0)[None])
    return scores["sdr"] - scores["sdr_mixture"], scores


def test_the_mixture_improves_nothing():
    better, scores = improvement("mixture", tones(300, 470))
    assert better == pytest.approx(np.zeros(2), abs=1e-3) and scores["sar"].min() > 40


@pytest.mark.parametrize("name", ["ideal-binary", "ideal-ratio"])
@pytest.mark.parametrize("pitches_hz", [(300, 470), (300, 470, 1310)])
def test_ideal_masks_separate(name, pitches_hz):
    better, _ = improvement(name, tones(*pitches_hz))
    assert better.min() > 15


def test_the_factorisation_finds_the_right_source():
    """In either order of the sources: each component goes to the source that it is like."""
    pytest.importorskip("librosa", reason="run ./scripts/setup.sh --open")
    sources = tones(300, 1310)
    for ordered in (sources, sources.flip(0)):
        better, _ = improvement("nmf", ordered)
        assert better.min() > 10


def test_as_rows_of_the_table(data_tree):
    """On the mixtures of a run, as `scripts/baselines.py` scores them."""
    pytest.importorskip("librosa", reason="run ./scripts/setup.sh --open")
    assert python(data_tree, ROOT / "scripts" / "create_index_files.py").returncode == 0
    trained = main(data_tree, *TRAIN, "--num_epoch", "1", "--ckpt", "judged")
    assert trained.returncode == 0, trained.stderr
    run = run_of(data_tree / "judged")
    done = python(data_tree, ROOT / "scripts" / "baselines.py", run, "--output", "baselines")
    assert done.returncode == 0, done.stderr
    folders = [data_tree / line for line in done.stdout.splitlines() if line.startswith("baselines/")]
    assert [folder.name for folder in folders] == list(BASELINES)
    rows = {row.condition: row for row in read_rows([run, *folders])}
    assert list(rows) == ["mixture", "nmf", "depth", "ideal-binary", "ideal-ratio"]
    assert len({row.n for row in rows.values()}) == 1
    assert rows["mixture"].scores["improvement"].mean == pytest.approx(0, abs=0.05)
    assert rows["ideal-ratio"].scores["improvement"].mean > 5
    before = {row.scores["sdr_mixture"].mean for row in rows.values()}
    assert max(before) - min(before) < 1e-3  # the same mixtures, sample for sample


def test_what_is_no_evaluated_run_is_told(tmp_path):
    (tmp_path / "run").mkdir()
    for content, message in (
        (None, "cannot be read"),
        ("{}", "does not hold a run's options"),
        ('{"options": {}}', "does not hold a run's options"),
    ):
        if content:
            (tmp_path / "run" / "config.json").write_text(content)
        done = python(tmp_path, ROOT / "scripts" / "baselines.py", "run", "--output", "out")
        assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1
    options = {"audLen": 8191, "audRate": 11025, "num_mix": 2, "num_frames": 1, "stft_frame": 1022, "stft_hop": 256}
    (tmp_path / "run" / "config.json").write_text(json.dumps({"options": {**options, "bss_eval": "fast"}}))
    done = python(tmp_path, ROOT / "scripts" / "baselines.py", "run", "--output", "out")
    assert done.returncode == 2 and "metrics.csv: cannot be read" in done.stderr
    assert not (tmp_path / "out").exists()
    for wrong in ({"stft_frame": 0}, {"stft_hop": 100_000}, {"bss_eval": "foo"}):
        content = {"options": {**options, "bss_eval": "fast", **wrong}}
        (tmp_path / "run" / "config.json").write_text(json.dumps(content))
        done = python(tmp_path, ROOT / "scripts" / "baselines.py", "run", "--output", "out")
        assert done.returncode == 2 and "that no run can have" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_is_elsewhere_is_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"options": {}}')
    (tmp_path / "mine" / "mixture").mkdir(parents=True)
    (tmp_path / "mine" / "mixture" / "metrics.csv").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for output, message in (("mine", "mine/mixture: holds something else"), ("file", "file: not a folder")):
        done = python(tmp_path, ROOT / "scripts" / "baselines.py", "run", "--output", output)
        assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1
    assert (tmp_path / "mine" / "mixture" / "metrics.csv").read_text() == "mine"
