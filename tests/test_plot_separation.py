"""The picture of a separation, from what an evaluation wrote."""

from __future__ import annotations

import csv
import sys

import numpy as np
import plot_separation
import pytest
import soundfile
from conftest import write_cloud
from PIL import Image

from utils.errors import InputError


@pytest.fixture
def run(tmp_path):
    """A run of three evaluated mixtures."""
    rng = np.random.default_rng(0)
    for index in range(3):
        folder = tmp_path / "visualization" / f"{index:04d}_cello-a+violin-b"
        folder.mkdir(parents=True)
        for name in ("mix", "pred1", "pred2", "gt1", "gt2"):
            soundfile.write(folder / f"{name}.wav", 0.1 * rng.standard_normal(11025), 11025)
        for n in (1, 2):
            write_cloud(folder / f"point{n}_frame1.ply", rng.uniform(-1, 1, (50, 3)), rng.integers(0, 256, (50, 3)))
    with open(tmp_path / "metrics.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["index", "scored", "sdr", "sdr_mixture"])
        writer.writeheader()
        writer.writerows({"index": i, "scored": 1, "sdr": sdr, "sdr_mixture": 0} for i, sdr in enumerate((9, 1, 5)))
    return tmp_path


def test_the_median_mixture_is_drawn(run, monkeypatch, capsys):
    output = run / "a.png"
    monkeypatch.setattr(sys, "argv", ["plot_separation.py", str(run), "--output", str(output)])
    plot_separation.main()
    assert "0002_cello" in capsys.readouterr().out
    with Image.open(output) as picture:
        assert picture.width > 800 and picture.height > 300


def test_folders_that_hold_nothing(tmp_path):
    with pytest.raises(InputError, match="pred1.wav"):
        plot_separation.draw_separation(tmp_path, 1022, 256)
    with pytest.raises(InputError, match="metrics.csv"):
        plot_separation.median_mixture(tmp_path)
