"""Results in a run's folder that are damaged or unfinished: one line, never a page of them."""

from __future__ import annotations

import pytest
from test_reports import RATE, page_data, write_evaluation

from reports.comparison import write_comparison_page
from reports.evaluated import read_evaluation
from reports.run_page import write_run_page
from runs.results import INCOMPLETE
from utils.checkpoint import save
from utils.errors import InputError


def test_an_evaluation_that_was_interrupted_is_told(tmp_path):
    run = write_evaluation(tmp_path / "run", 3.0, drawn=0)
    (run / INCOMPLETE).touch()
    with pytest.raises(InputError, match="ended before all its results were written; evaluate the run again"):
        read_evaluation(run)
    write_evaluation(run, 3.0, drawn=0)
    assert read_evaluation(run).mixtures and not (run / INCOMPLETE).exists()


DAMAGE = {
    "no table": ("metrics.json", lambda text: text.replace('"per_instrument": {', '"per_instrument": 3, "x": {')),
    "no number": ("metrics.json", lambda text: text.replace('"n_scored": ', '"n_scored": "all", "x": ')),
    "no scores": ("metrics.json", lambda text: "{}"),
    "a list": ("metrics.json", lambda text: "[]"),
    "nothing": ("metrics.json", lambda text: ""),
    "no sources": ("metrics.csv", lambda text: text.replace(",2,", ",0,", 1)),
    "many sources": ("metrics.csv", lambda text: text.replace(",2,", ",99999999,", 1)),
    "no rate": ("metrics.csv", lambda text: text.replace(f",{RATE},", ",0,", 1)),
    "cut": ("metrics.csv", lambda text: text[: len(text) // 2]),
    "half a row": ("metrics.csv", lambda text: text + "7,2"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_results_that_somebody_damaged(tmp_path, name):
    file, change = DAMAGE[name]
    run = write_evaluation(tmp_path / "run", 3.0, drawn=0)
    before = (run / file).read_text()
    (run / file).write_text(change(before))
    assert (run / file).read_text() != before
    with pytest.raises(InputError, match=file):
        write_run_page(run)


@pytest.mark.parametrize(
    "history",
    [
        {},
        {"train": [], "val": {}},
        {"train": {"epoch": [1], "loss": [1.0]}, "val": {"epoch": [1, 2], "loss": [0.5]}},
        {"train": {"epoch": [1], "loss": ["x"]}, "val": {"epoch": [], "loss": []}},
    ],
)
def test_curves_that_somebody_damaged(tmp_path, history):
    run = write_evaluation(tmp_path / "run", 3.0, drawn=0)
    save(history, run / "history_latest.pth")
    with pytest.raises(InputError, match="history_latest.pth: not the learning curves of a run"):
        write_run_page(run)


@pytest.mark.parametrize("name", ["sdr_mixture", "sdr of b", "b less", "constructor"])
def test_runs_with_the_names_of_columns(tmp_path, name):
    runs = [write_evaluation(tmp_path / run, sdr, drawn=0) for run, sdr in ((name, 3.0), ("b", 5.0))]
    page, comparison = write_comparison_page(runs, tmp_path / "page")
    data = page_data(page)
    keys = [column["key"] for column in data["columns"]]
    assert len(set(keys)) == len(keys) == 4
    for row, (first, second) in zip(data["rows"], comparison.pairs, strict=True):
        found = [row["values"][key] for key in keys]
        scores = [first.score("sdr_mixture"), first.score("sdr"), second.score("sdr")]
        assert found == pytest.approx([*scores, scores[2] - scores[1]])
