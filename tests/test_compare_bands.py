"""Runs of different sampling rates on the same mixtures."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import compare_bands
import numpy as np
import pytest
import soundfile
import soxr
from conftest import write_cloud

from dataset.eval_list import describe
from dataset.index import IndexRow
from dataset.music import SourceDraw
from dataset.settings import FrameSettings, Window
from runs.table import EvaluationTable
from separation import Separator
from utils.errors import InputError
from utils.metrics import COLUMNS

RATE, LENGTH = 44_100, 32_768


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """An evaluated run at 44.1 kHz and one at 11025 Hz, which separate as well as their rates let them."""
    rng = np.random.default_rng(0)
    draws, sources = [], []
    for name in ("violin", "cello"):
        wave = rng.normal(scale=0.05, size=2 * RATE)
        wave += 4 * soxr.resample(soxr.resample(wave, RATE, 11_025), 11_025, RATE)[: len(wave)]  # more of it is low
        soundfile.write(tmp_path / f"{name}.wav", wave, RATE, subtype="FLOAT")
        write_cloud(tmp_path / name / "00000.ply", rng.normal(size=(50, 3)), np.zeros((50, 3)))
        draws.append(SourceDraw(IndexRow(str(tmp_path / f"{name}.wav"), str(tmp_path / name), 1), 5000, (0,)))
        sources.append(wave[5000 : 5000 + LENGTH].clip(-1, 1) / 2)
    table = EvaluationTable()
    table.loss.add(0.3, 1)
    table.add({"index": 0, **describe(draws, Window(LENGTH, RATE))}, dict.fromkeys(COLUMNS, np.zeros(2)))

    def from_run(path, device):
        rate_hz = 44_100 if path.name == "full" else 11_025

        def separate(mixture, of_rate_hz, clouds):
            assert of_rate_hz == RATE and len(clouds) == 2
            np.testing.assert_allclose(mixture[0], sum(sources), atol=1e-6)
            heard = np.stack(sources) + rng.normal(scale=1e-4, size=(2, LENGTH))
            low = soxr.resample(soxr.resample(heard.T, RATE, rate_hz), rate_hz, RATE).T[:, :LENGTH]
            return low.astype(np.float32)[:, None]

        window = Window(LENGTH * rate_hz // RATE, rate_hz)
        frames = FrameSettings(2 if path.name == "two frames" else 1, 1)
        return SimpleNamespace(num_mix=2, frames=frames, window=window, separate=separate)

    monkeypatch.setattr(Separator, "from_run", from_run)
    for name in ("full", "low", "two frames"):
        (tmp_path / name).mkdir()
    table.write(tmp_path / "full", list_val="test.csv")
    return tmp_path


def compare(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["compare_bands.py", *map(str, words)])
    compare_bands.main()


def test_what_a_low_rate_cannot_hear_counts_over_the_full_band_alone(runs, monkeypatch, capsys):
    compare(monkeypatch, runs / "full", runs / "low", "--device", "cpu")
    lines = capsys.readouterr().out.splitlines()
    assert "up to 22.1 kHz" in lines[-5] and "up to 5.5 kHz" in lines[-5]
    mixture, full, low = ([float(number) for number in line.split()[:4]] for line in lines[-4:-1])
    assert mixture[1] == mixture[3] == 0 and abs(mixture[0]) < 1 and abs(mixture[2]) < 1
    assert full[0] > 30 and full[2] > 30 and low[2] > 30
    assert 5 < low[0] < 20
    assert full[1] == pytest.approx(full[0] - mixture[0], abs=0.011)
    assert lines[-1].startswith("low less full: -")


def test_runs_that_see_otherwise_are_refused(runs, monkeypatch):
    with pytest.raises(InputError, match="two frames: takes 2 frames"):
        compare(monkeypatch, runs / "full", runs / "two frames")
    with pytest.raises(InputError, match="metrics.csv: cannot be read"):
        compare(monkeypatch, runs / "low", runs / "full")
