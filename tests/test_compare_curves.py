"""Learning curves of several runs, beside one another."""

from __future__ import annotations

import sys

import compare_curves
import pytest

from runs.history import new_history
from runs.state import HISTORY
from utils import checkpoint
from utils.errors import InputError


def curve(folder, *losses):
    history = new_history()
    history["train"] = [{"epoch": epoch, "loss": loss} for epoch, loss in enumerate(losses, 1)]
    folder.mkdir()
    checkpoint.save(history, folder / HISTORY)
    return str(folder)


def compare(monkeypatch, *runs):
    monkeypatch.setattr(sys, "argv", ["compare_curves.py", *runs])
    compare_curves.main()


def test_differences(tmp_path, monkeypatch, capsys):
    runs = [curve(tmp_path / "a", 0.5, 0.4), curve(tmp_path / "b", 0.51, 0.38), curve(tmp_path / "c", 0.5, 0.402)]
    compare(monkeypatch, *runs)
    *named, first, second, b, c = capsys.readouterr().out.splitlines()
    assert named == [f"run {number}: {run}" for number, run in enumerate(runs, 1)]
    assert first == "epoch   1   0.5000   0.5100 (+2.0 %)   0.5000 (+0.0 %)"
    assert second == "epoch   2   0.4000   0.3800 (-5.0 %)   0.4020 (+0.5 %)"
    assert b == "run 2 is within 5.00 % of run 1 in every epoch, 3.50 % on average"
    assert c.startswith("run 3 is within 0.50 %")


@pytest.mark.parametrize("losses, expected", [((0.5,), "b: 1 epochs"), ((), "no epoch of training")])
def test_other_epochs(tmp_path, monkeypatch, losses, expected):
    with pytest.raises(InputError, match=expected):
        compare(monkeypatch, curve(tmp_path / "a", 0.5, 0.4), curve(tmp_path / "b", *losses))


def test_no_run(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="b: no such folder; expected the folder of a run"):
        compare(monkeypatch, curve(tmp_path / "a", 0.5), str(tmp_path / "b"))


def test_curves_of_others(tmp_path, monkeypatch, capsys):
    """Of wrong types: one line; a loss of zero is nothing to divide by."""
    runs = [curve(tmp_path / "a", 0.0, 0.4), curve(tmp_path / "b", 0.5, 0.38)]
    compare(monkeypatch, *runs)
    assert "nan" in capsys.readouterr().out
    for content in ({}, {"train": {"epoch": ["x"], "loss": [1]}, "val": {"epoch": [], "loss": []}}, {"train": []}):
        checkpoint.save(content, tmp_path / "b" / HISTORY)
        with pytest.raises(InputError, match="not the learning curves of a run"):
            compare(monkeypatch, *runs)
