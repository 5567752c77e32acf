"""`metrics.json` as a page may take it: every value that is shown has its type and range, whoever wrote the file."""

from __future__ import annotations

import math

from utils.metrics import METRICS

NEEDED = "sdr"  # without which there is nothing to show; of other scores a run may have been evaluated before they were
MOST_DB = 1e6  # of a score, either way
MOST_COUNT = 10**9
MOST_NAMES = 1000  # of instruments
CONDITIONING = ("sdr", "sdr_exchanged", "follows", "energy_present_db", "energy_absent_db")


def check_summary(summary: dict) -> None:
    """Raises ValueError with the first value that is missing or none of a page's."""
    for name in ("n_mixtures", "n_scored"):
        _count(summary, name)
    if summary["n_scored"] > summary["n_mixtures"]:
        raise ValueError("n_scored is more than n_mixtures")
    for metric in METRICS:
        for name in (metric, f"{metric}_mixture", f"{metric}_improvement"):
            if name in summary or name == NEEDED:
                _score(summary, name, is_needed=False)
    if not isinstance(summary.get("eval_list") or summary.get("list_val"), str):
        raise ValueError("list_val is missing or no text")
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
    for name in CONDITIONING:
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
        raise ValueError(f"{name} is missing or no table")
    return content[name]


def _count(content: dict, name: str) -> None:
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_COUNT:
        raise ValueError(f"{name} is missing or no number")


def _score(content: dict, name: str, is_needed: bool = True) -> None:
    """Without need it may be None, a mean over no mixtures."""
    value = content.get(name, ...)
    if value is None and not is_needed:
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or abs(value) > MOST_DB:
        raise ValueError(f"{name} is missing or no number")
