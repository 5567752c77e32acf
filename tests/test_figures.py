"""Figures with names of any kind in them."""

from __future__ import annotations

import warnings

import pytest
from PIL import Image
from test_reports import write_evaluation

from reports.evaluated import read_evaluation
from reports.figures import write_figures
from utils import figures
from utils.figures import Figure, save_figure


@pytest.mark.parametrize("text", ["$x", "$$", "$\\frac{1}$", "a $b$ c", "50 % \\alpha"])
def test_texts_are_no_formulas(tmp_path, text):
    figure = Figure()
    figure.add_subplot(title=text)
    save_figure(figure, tmp_path / "a.png", dpi=50)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == 320


def test_letters_that_no_font_has_are_told_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(figures, "_told", set())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for letters in ("\U000f0000", "\U000f0001\U000f0002"):  # for private use
            figure = Figure()
            figure.add_subplot(title=letters)
            save_figure(figure, tmp_path / "a.png", dpi=50)
    assert capsys.readouterr().out.count("no font here has all letters") == 1


def test_figures_of_instruments_with_any_name(tmp_path):
    run = write_evaluation(tmp_path / "run", 3.0, drawn=0)
    table = (run / "metrics.csv").read_text().replace("cello", "$cello$ $")
    (run / "metrics.csv").write_text(table)
    assert write_figures(read_evaluation(run), None, tmp_path / "figures")
