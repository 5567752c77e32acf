"""Scores as pictures, for a page and for a paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from reports.evaluated import Evaluation
from reports.page import MINUS
from runs.history import plot_history
from utils.figures import save_figure
from utils.files import make_folder

DPI = 130


def write_figures(evaluation: Evaluation, history: dict | None, folder: Path) -> list[dict]:
    """Writes the figures of an evaluation, and of the training it belongs to, into `folder`.

    Returns:
        Name of each file in `folder` and its title.
    """
    make_folder(folder)
    figures = []
    if history and history["val"]:
        plot_history(folder, history)
        figures += [{"file": "loss.png", "title": "loss"}, {"file": "metrics.png", "title": "validation scores"}]
    if evaluation.scored:
        drawn = {
            "instruments.png": ("scores of each instrument", draw_instruments(evaluation)),
            "pairs.png": ("improvement by who plays beside", draw_pairs(evaluation)),
            "improvement.png": ("SDR before and after", draw_improvement(evaluation)),
        }
        recognition = (evaluation.summary.get("conditioning") or {}).get("recognition")
        if recognition:
            drawn["recognition.png"] = ("instruments recognised from their clouds", draw_confusion(recognition))
        for name, (title, figure) in drawn.items():
            save_figure(figure, folder / name, dpi=DPI)
            figures.append({"file": name, "title": title})
    return figures


def draw_instruments(evaluation: Evaluation) -> Figure:
    """Mean SDR of each instrument, in the mixture and separated."""
    table = evaluation.summary["per_instrument"]
    names, place = list(table), np.arange(len(table))
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(ylabel="SDR in dB", title="SDR of each instrument")
    axes.bar(place - 0.2, [table[name]["sdr_mixture"] for name in names], 0.4, color="#b8bcc2", label="in the mixture")
    axes.bar(place + 0.2, [table[name]["sdr"] for name in names], 0.4, color="#2f6db5", label="separated")
    axes.set_xticks(place, [f"{name}\n{table[name]['n']}" for name in names])
    axes.axhline(0, color="black", linewidth=0.8)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend()
    return figure


def draw_pairs(evaluation: Evaluation) -> Figure:
    """A heat map: the mean improvement of an instrument's SDR, by the other instrument in the mixture."""
    improvements = pair_improvements(evaluation)
    names = sorted({name for pair in improvements for name in pair})
    values = np.array([[np.mean(improvements.get((own, other), [np.nan])) for other in names] for own in names])
    limit = max(np.nanmax(np.abs(values)), 1.0)
    figure = Figure(figsize=(6, 4.6), layout="constrained")
    axes = figure.add_subplot(xlabel="plays beside it", ylabel="separated", title="Improvement of the SDR in dB")
    picture = axes.imshow(values, cmap="RdBu", vmin=-limit, vmax=limit)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    for row, column in np.argwhere(np.isfinite(values)):
        ink = "white" if abs(values[row, column]) > 0.6 * limit else "black"
        count = len(improvements[names[row], names[column]])
        label = f"{values[row, column]:z.1f}\n({count})".replace("-", MINUS)
        axes.text(column, row, label, ha="center", va="center", color=ink, fontsize=8)
    figure.colorbar(picture, ax=axes)
    return figure


def draw_confusion(recognition: dict) -> Figure:
    """For the clouds of each instrument, which instrument's mean feature they are nearest to, in numbers of clouds."""
    confusion = recognition["confusion"]
    own, found = list(confusion), list(next(iter(confusion.values())))
    counts = np.array([[confusion[name][other] for other in found] for name in own])
    shares = counts / counts.sum(axis=1, keepdims=True)
    figure = Figure(figsize=(6, 4.6), layout="constrained")
    title = f"{recognition['accuracy']:.0%} of {recognition['n']} clouds recognised correctly"
    axes = figure.add_subplot(xlabel="nearest mean of training features", ylabel="instrument", title=title)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(found)), found, rotation=30, ha="right")
    axes.set_yticks(range(len(own)), own)
    for row, column in np.ndindex(counts.shape):
        ink = "white" if shares[row, column] > 0.6 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=ink)
    return figure


def pair_improvements(evaluation: Evaluation) -> dict[tuple[str, str], list[float]]:
    """Improvements of the SDR in dB by (instrument, other instrument in the mixture)."""
    found: dict[tuple[str, str], list[float]] = {}
    for mixture in evaluation.scored:
        for n, own in zip(mixture.sources, mixture.instruments, strict=True):
            improvement = mixture.score(f"sdr_{n}") - mixture.score(f"sdr_mixture_{n}")
            for m, other in zip(mixture.sources, mixture.instruments, strict=True):
                if m != n:
                    found.setdefault((own, other), []).append(improvement)
    return found


def draw_improvement(evaluation: Evaluation) -> Figure:
    """The SDR of every source, in the mixture and separated; it improved above the diagonal."""
    figure = Figure(figsize=(6, 4.6), layout="constrained")
    axes = figure.add_subplot(xlabel="SDR in the mixture, dB", ylabel="SDR separated, dB", title="SDR before and after")
    points: dict[str, list[tuple[float, float]]] = {}
    for mixture in evaluation.scored:
        for n, instrument in zip(mixture.sources, mixture.instruments, strict=True):
            points.setdefault(instrument, []).append((mixture.score(f"sdr_mixture_{n}"), mixture.score(f"sdr_{n}")))
    for instrument in sorted(points):
        axes.scatter(*zip(*points[instrument], strict=True), s=14, alpha=0.75, label=instrument)
    ends = [min(axes.get_xlim()[0], axes.get_ylim()[0]), max(axes.get_xlim()[1], axes.get_ylim()[1])]
    axes.plot(ends, ends, color="black", linewidth=0.8, zorder=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
