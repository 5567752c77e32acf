"""`metrics.json`, the scores of an evaluation: checked, whoever wrote the file, and those of a run's best weights."""

from __future__ import annotations

import math
from pathlib import Path

from runs.folder import WEIGHTS, best_weights, options_of_mixtures
from runs.results import INCOMPLETE
from runs.state import best_epoch, read_history
from utils.conditioning import MEANS
from utils.errors import InputError
from utils.files import is_there, read_json
from utils.metrics import METRICS

NEEDED = "sdr"  # without which there is nothing to show; others may be newer than the evaluation
MOST_DB = 1e6  # largest score that is believed, either way
MOST_COUNT = 10**9
MOST_NAMES = 1000  # most instruments


def read_summary(run: Path) -> dict:
    """`metrics.json` of a run; raises InputError if it is missing or damaged."""
    summary = read_json(run / "metrics.json")
    try:
        check_summary(summary)
    except ValueError as error:
        told = f"not the scores of an evaluation ({error}); evaluate the run again"
        raise InputError(f"{run / 'metrics.json'}: {told}") from error
    return summary


def summary_of_best(run: Path) -> dict | None:
    """The scores of the weights in a run's `*_best.pth`; None if nothing is known of them.

    Those of the last evaluation, if it was one of these weights; else those of their epoch in training, with the names
    of instruments alone.

    Raises:
        InputError: a file is damaged.
    """
    epoch, instruments = best_epoch(run), {}
    if is_there(run / "metrics.json") and not (run / INCOMPLETE).exists():
        summary = read_summary(run)
        names = {(Path(path).parent.name, Path(path).name) for path in map(str, summary.get("weights", []))}
        is_of_best = names == {(Path(path).parent.name, Path(path).name) for path in best_weights(run).values()}
        if is_of_best or ("weights" not in summary and summary.get("epoch") == epoch):
            return summary
        instruments = dict.fromkeys(summary["per_instrument"])
    history = read_history(run) or {"val": []}
    row = next((row for row in history["val"] if row["epoch"] == epoch), None)
    if row is None or is_there(run / WEIGHTS) or not is_there(run / "config.json"):
        return None
    return {**row, **options_of_mixtures(run), "per_instrument": instruments}


def check_summary(summary: dict) -> None:
    """Raises ValueError that names the first value that is missing or cannot be shown."""
    for name in ("n_mixtures", "n_scored"):
        _count(summary, name)
    if summary["n_scored"] > summary["n_mixtures"]:
        raise ValueError("n_scored is more than n_mixtures")
    for metric in METRICS:
        for name in (metric, f"{metric}_mixture", f"{metric}_improvement"):
            if name in summary or name == NEEDED:
                _score(summary, name, is_needed=False)
    if not isinstance(summary.get("eval_list") or summary.get("list_val"), str):
        raise ValueError("list_val is missing or not a text")
    if "epoch" in summary:
        _count(summary, "epoch")
    if not isinstance(summary.get("weights", []), list) or not isinstance(summary.get("masks", ""), str):
        raise ValueError("weights are no list, or masks no text")
    if summary.get("log_freq", 1) not in (0, 1):
        raise ValueError("log_freq is not 0 or 1")
    for instrument, scores in _table(summary, "per_instrument").items():
        if not isinstance(scores, dict):
            raise ValueError(f"per_instrument: {instrument} is no table")
        _count(scores, "n")
        for name in ("sdr", "sdr_mixture"):
            _score(scores, name)
    if summary.get("conditioning") is not None:
        _check_conditioning(_table(summary, "conditioning"))


def _check_conditioning(content: dict) -> None:
    for name in MEANS:
        _score(content, name, is_needed=content.get("sdr") is not None)
    if content.get("recognition") is None:
        if "recognition" not in content:
            raise ValueError("recognition is missing")
        return
    recognition = _table(content, "recognition")
    _score(recognition, "accuracy")
    _count(recognition, "n")
    confusion = _table(recognition, "confusion")
    found = {tuple(row) if isinstance(row, dict) else None for row in confusion.values()}
    if len(found) != 1 or not next(iter(found)):
        raise ValueError("confusion is no table of numbers of clouds")
    for row in confusion.values():
        for name in row:
            _count(row, name)


def _table(content: dict, name: str) -> dict:
    if not isinstance(content.get(name), dict) or len(content[name]) > MOST_NAMES:
        raise ValueError(f"{name} is missing or not a table")
    return content[name]


def _count(content: dict, name: str) -> None:
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_COUNT:
        raise ValueError(f"{name} is missing or not a number")


def _score(content: dict, name: str, is_needed: bool = True) -> None:
    """Unless it is required it may be None, which is a mean over no mixtures."""
    value = content.get(name, ...)
    if value is None and not is_needed:
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or abs(value) > MOST_DB:
        raise ValueError(f"{name} is missing or not a number")
