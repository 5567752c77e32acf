"""Names in CSV files: read back as they were, run by no spreadsheet, the same for all who read them."""

from __future__ import annotations

import csv

import plot_separation
import pytest
from test_reports import PAIRS, write_evaluation

from dataset.eval_list import read_eval_list
from dataset.settings import Window
from reports.evaluated import read_evaluation
from reports.table import HEADS, Score, TableRow, as_csv
from runs.table import EvaluationTable
from utils.cells import FORMULA, as_cell, from_cell

NAMES = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "＝1", "'=1", "''@", "'", "'a", "plain", "a=1", "", "=", "-"]  # noqa: RUF001


@pytest.mark.parametrize("name", NAMES)
def test_names_are_read_back_and_look_like_no_formula(name):
    cell = as_cell(name)
    assert from_cell(cell) == name and cell[:1] not in tuple("=+-@\t\r＝")  # noqa: RUF001


def test_numbers_stay_numbers():
    for value in (-3.5, 0, None, -1):
        assert as_cell(value) is value
    assert not FORMULA.match("3.5")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """An evaluation whose instruments and recordings are named like formulas."""
    add, unlike = EvaluationTable.add, iter(range(99))

    def add_named(table, made_of, scores):
        number = next(unlike) % 5
        for n, sign in ((1, "="), (2, "'-")):
            made_of |= {f"instrument_{n}": f"{sign}{number}", f"frames_path_{n}": f"@{number}/f{n}"}
            made_of |= {f"audio_{n}": f"{sign}{number}/{number}{n}.wav"}
        add(table, made_of, scores)

    monkeypatch.setattr(EvaluationTable, "add", add_named)
    return write_evaluation(tmp_path / "=run", 3.0)


def test_all_readers_agree(run):
    with open(run / "metrics.csv", newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    raw = [cell for cell in cells if FORMULA.match(cell) and not cell.startswith("'")]
    assert all(isinstance(float(cell), float) for cell in raw)  # scores below zero
    shown = [mixture.instruments for mixture in read_evaluation(run).mixtures]
    assert shown == [[f"={n}", f"'-{n}"] for n in range(len(PAIRS))]
    first = read_evaluation(run).mixtures[0].row
    sizes = {"num_mix": 2, "num_frames": 1, "window": Window(int(first["window_samples"]), int(first["rate_hz"]))}
    heard = [[draw.row for draw in draws] for draws in read_eval_list(run / "metrics.csv", **sizes)]
    assert [row.audio_path for row in heard[2]] == ["=2/21.wav", "'-2/22.wav"]
    assert [row.frames_path for row in heard[2]] == ["@2/f1", "@2/f2"]
    folder = plot_separation.median_mixture(run)
    number = int(folder.name[:4])
    assert plot_separation.instruments_of(folder) == [f"={number}", f"'-{number}"]


def test_runs_in_the_table_of_a_comparison(run):
    text = as_csv([TableRow(run, 2, "label", 3, dict.fromkeys(HEADS, Score(-1.0, -2.0, 0.0)))])
    row = next(csv.DictReader(text.splitlines()))
    assert row["run"] == "'=run" and from_cell(row["run"]) == run.name
    assert float(row["sdr"]) == -1
