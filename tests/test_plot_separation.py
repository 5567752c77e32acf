"""The picture of a separation, from what an evaluation wrote."""

from __future__ import annotations

import csv
import os
import sys

import plot_separation
import pytest
import screenshot
from PIL import Image
from test_reports import write_evaluation

from utils.errors import InputError


@pytest.fixture
def run(tmp_path):
    """A run of three evaluated mixtures; the improvement of the third is the median."""
    run = write_evaluation(tmp_path / "run", 3.0, drawn=3)
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, sdr in zip(rows, (9, 1, 5), strict=False):
        row |= {"sdr": sdr, "sdr_mixture": 0, "instrument_1": "bass-clarinet", "instrument_2": "a+b $x$ 4"}
    with open(run / "metrics.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows[:3])
    return run


def test_the_median_mixture_is_drawn(run, monkeypatch, capsys):
    output = run / "a.png"
    monkeypatch.setattr(sys, "argv", ["plot_separation.py", str(run), "--output", str(output)])
    plot_separation.main()
    assert "0002_" in capsys.readouterr().out
    with Image.open(output) as picture:
        assert picture.width > 800 and picture.height > 300


def test_names_are_shown_as_they_are(run):
    """Not as a folder's name cuts them; dollar signs make no formula, and letters of any script no error."""
    figure = plot_separation.plot_mixture(plot_separation.median_mixture(run), 1022, 256)
    titles = [axes.get_title() for axes in figure.axes]
    assert "bass-clarinet: separated" in titles and "a+b $x$ 4: cloud" in titles
    assert not any(axes.title.get_parse_math() for axes in figure.axes)


def test_folders_that_hold_nothing(tmp_path):
    with pytest.raises(InputError, match="pred1.wav"):
        plot_separation.plot_mixture(tmp_path, 1022, 256)
    with pytest.raises(InputError, match="metrics.json"):
        plot_separation.median_mixture(tmp_path)


@pytest.mark.parametrize("name", ["picture", "picture.tmp", "-", "picture.txt"])
@pytest.mark.parametrize("command", [plot_separation, screenshot])
def test_names_that_tell_no_kind_of_picture(tmp_path, monkeypatch, command, name):
    monkeypatch.setattr(sys, "argv", [command.__name__, str(tmp_path), "--output", name])
    with pytest.raises(InputError, match="--output: expected a name that ends in .png, .jpg, .jpeg, not"):
        command.main()


@pytest.mark.parametrize("command", [plot_separation, screenshot])
def test_what_is_drawn_is_there_and_of_the_right_kind(tmp_path, monkeypatch, command):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    reasons = {"gone": "no such", "pipe": "not a (regular file|folder)"}
    reasons |= {"file": "a file, not a folder"} if command is plot_separation else {"": "a folder, not a file"}
    for name, reason in reasons.items():
        monkeypatch.setattr(sys, "argv", [command.__name__, str(tmp_path / name)])
        with pytest.raises(InputError, match=f"{name}: .*{reason}"):
            command.main()
