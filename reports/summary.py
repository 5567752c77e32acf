"""Checks `metrics.json` for a page: every value that is shown has its type and range, whoever wrote the file."""

from __future__ import annotations

import math

from utils.conditioning import MEANS
from utils.metrics import METRICS

NEEDED = "sdr"  # without which there is nothing to show; others may be newer than the evaluation
MOST_DB = 1e6  # largest score that is believed, either way
MOST_COUNT = 10**9
MOST_NAMES = 1000  # most instruments


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
