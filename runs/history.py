"""The learning curves of a run: a row for each epoch that was trained, and for each that was evaluated."""

from __future__ import annotations

import math
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from utils.figures import save_figure
from utils.metrics import METRICS

MOST = 10**12  # largest number in a file that somebody else may have written

Row = dict[str, float]  # epoch, loss, and what else was measured then


def new_history() -> dict[str, list[Row]]:
    """`train`, a row for each epoch of training, and `val`, one for each evaluation."""
    return {"train": [], "val": []}


def as_rows(history: object) -> object:
    """Converts a history that was stored as parallel lists (before November 2026) to rows; others are returned as they
    are.
    """
    if not isinstance(history, dict) or not all(isinstance(history.get(part), dict) for part in ("train", "val")):
        return history
    curves = [history[part] for part in ("train", "val")]
    if not all(isinstance(values, list) for part in curves for values in part.values()):
        return history
    if any(not {"epoch", "loss"} <= part.keys() or len({*map(len, part.values())}) > 1 for part in curves):
        return history
    rows = ([dict(zip(part, row, strict=True)) for row in zip(*part.values(), strict=True)] for part in curves)
    return dict(zip(("train", "val"), rows, strict=True))


def is_history(content: object) -> bool:
    """Whether it is a history of numbers that can be drawn."""
    if not isinstance(content, dict) or not all(isinstance(content.get(part), list) for part in ("train", "val")):
        return False
    return all(_is_row(row) for part in ("train", "val") for row in content[part])


def _is_row(row: object) -> bool:
    if not isinstance(row, dict) or not {"epoch", "loss"} <= row.keys():
        return False
    if not isinstance(row["epoch"], int) or not 0 <= row["epoch"] <= MOST:
        return False
    per_class = row.get("per_class", [])  # of a classifier
    if not isinstance(per_class, list):
        return False
    numbers = [value for name, value in row.items() if name != "per_class"] + per_class
    return all(isinstance(n, int | float) and (not math.isfinite(n) or abs(n) <= MOST) for n in numbers)


def best_row(rows: list[Row]) -> Row | None:
    """The row of the lowest finite loss; ties: the later epoch."""
    finite = [row for row in rows if math.isfinite(row["loss"])]
    return min(finite, key=lambda row: (row["loss"], -row["epoch"]), default=None)


def plot_history(run: Path, history: dict[str, list[Row]]) -> None:
    """Draws `loss.png` and `metrics.png` of a run; the best epoch is marked."""
    best = best_row(history["val"])
    losses = {"training": ("train", "loss"), "validation": ("val", "loss")}
    _plot(run / "loss.png", [("loss", {name: _curve(history[part], of) for name, (part, of) in losses.items()})], best)
    parts: dict[str, dict[str, tuple[list, list]]] = {}  # by what their axis says
    for metric in METRICS.values():
        axis = ", ".join(filter(None, (metric.unit, "" if metric.higher_is_better else "lower is better")))
        curves = parts.setdefault(axis, {})
        curves[metric.label] = _curve(history["val"], metric.name)
        if metric.of_mixture:
            curves[f"{metric.label} of the mixture"] = _curve(history["val"], f"{metric.name}_mixture")
    _plot(run / "metrics.png", list(parts.items()), best)


def _curve(rows: list[Row], name: str) -> tuple[list[float], list[float]]:
    """Epochs and values of the rows that have this value: a run may have begun before a score existed."""
    known = [row for row in rows if name in row]
    return [row["epoch"] for row in known], [row[name] for row in known]


def _plot(path: Path, parts: list[tuple[str, dict[str, tuple[list, list]]]], best: Row | None) -> None:
    figure = Figure(figsize=(6, 1 + 3 * len(parts)), layout="constrained")
    for place, (unit, curves) in enumerate(parts, 1):
        axes = figure.add_subplot(len(parts), 1, place, xlabel="epoch", ylabel=unit)
        for label, (x, y) in curves.items():
            axes.plot(x, y, marker=".", label=label)
        if best is not None:
            axes.axvline(best["epoch"], color="gray", linestyle=":", label=f"best epoch: {best['epoch']}")
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    save_figure(figure, path, dpi=120)
