"""Learning curves as rows: older files are read, and a run may have begun before a score existed."""

from __future__ import annotations

import math

import pytest
import torch

from reports.run_page import write_run_page
from runs.history import as_rows, best_row, is_history, plot_history
from runs.state import RunState, read_history
from utils.checkpoint import save
from utils.metrics import COLUMNS, METRICS, Metric

OLD = {
    "train": {"epoch": [1, 2], "loss": [0.5, 0.4]},
    "val": {"epoch": [0, 2], "loss": [0.7, math.nan], "sdr": [1.0, 2.0]},
}
ROWS = {
    "train": [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4}],
    "val": [{"epoch": 0, "loss": 0.7, "sdr": 1.0}, {"epoch": 2, "loss": math.nan, "sdr": 2.0}],
}


def test_lists_side_by_side_become_rows(tmp_path):
    assert repr(as_rows(OLD)) == repr(ROWS) and repr(as_rows(ROWS)) == repr(ROWS) and is_history(as_rows(OLD))
    save(OLD, tmp_path / "history_latest.pth")
    assert repr(read_history(tmp_path)) == repr(ROWS)
    empty = {"train": {"epoch": [], "loss": []}, "val": {"epoch": [], "loss": []}}
    assert as_rows(empty) == {"train": [], "val": []}


@pytest.mark.parametrize(
    "content", [None, [], {"train": {}, "val": []}, {"train": {"epoch": [1], "loss": []}, "val": {}}]
)
def test_what_is_no_history(content):
    assert not is_history(as_rows(content))


def test_best_row():
    rows = [{"epoch": n, "loss": loss} for n, loss in enumerate((math.nan, 0.5, 0.3, 0.3, math.inf))]
    assert best_row(rows)["epoch"] == 3 and best_row(rows[:1]) is None


def test_a_score_that_is_newer_than_the_run(tmp_path, monkeypatch):
    """The best scores are those of their epoch, and curves begin where the score does."""
    new = Metric("new", "NEW", lambda sources, signals: signals.sum(dim=-1), of_mixture=True, unit="")
    monkeypatch.setitem(METRICS, "new", new)
    state = RunState(
        history=as_rows({**OLD, "val": {"epoch": [0], "loss": [0.7], "sdr": [1.0]}}), epoch=1, best_loss=0.7
    )
    state.best_epoch = 0
    assert state.best_scores() == {"epoch": 0, "loss": 0.7, "sdr": 1.0}
    state.finish_epoch({"loss": 0.6, "sdr": 1.5, "new": 3.0, "new_mixture": 4.0})
    assert state.best_scores() == {"epoch": 1, "loss": 0.6, "sdr": 1.5, "new": 3.0, "new_mixture": 4.0}
    plot_history(tmp_path, state.history)
    assert (tmp_path / "metrics.png").stat().st_size > 10_000


def test_a_run_resumes_whose_curves_were_lists(train, tmp_path):
    """And ends as one that nothing interrupted, with the format of today."""
    from tiny_runs import run_of

    train("--ckpt", "whole")
    train("--ckpt", "parts", "--num_epoch", "1")
    run = run_of(tmp_path / "parts")
    last = torch.load(run / "last.pth", weights_only=True)
    rows = last["state"]["history"]
    last["state"]["history"] = {
        part: {name: [row[name] for row in rows[part]] for name in (rows[part] or [{"epoch": 0, "loss": 0}])[0]}
        for part in rows
    }
    for curves in last["state"]["history"]["val"], last["state"]["history"]["train"]:
        for name in [name for name in curves if name in COLUMNS[2:]]:
            del curves[name]  # a score that did not exist then
    last["format"] = 2
    torch.save(last, run / "last.pth")
    train("--ckpt", "parts", "--resume", "1")
    whole, parts = (torch.load(run_of(tmp_path / name) / "last.pth", weights_only=True) for name in ("whole", "parts"))
    assert parts["format"] == whole["format"] == 3
    assert [row["loss"] for row in parts["state"]["history"]["val"]] == [
        row["loss"] for row in whole["state"]["history"]["val"]
    ]


def test_a_page_of_results_without_a_score(tmp_path, monkeypatch):
    """An evaluation that was made before a score existed has its page, with an empty place for it."""
    from test_reports import write_evaluation

    run = write_evaluation(tmp_path / "run", 3.0, drawn=0)
    new = Metric("new", "NEW", lambda sources, signals: signals.sum(dim=-1), of_mixture=True)
    monkeypatch.setitem(METRICS, "new", new)
    assert write_run_page(run).exists()
