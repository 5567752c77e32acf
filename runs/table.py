"""The scores of an evaluation, for every mixture and as means, as files and as a small table."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from runs.results import INCOMPLETE
from utils.cells import as_cell
from utils.errors import InputError, UnreadableError
from utils.files import finite, replacing, write_json
from utils.meters import Mean
from utils.metrics import COLUMNS, METRICS, Scores, units


class EvaluationTable:
    """Scores of the mixtures of one evaluation, one row each; in the means every scored mixture has the same weight.

    left_out: the errors of mixtures that could not be read.
    """

    def __init__(self) -> None:
        self.rows: list[dict] = []
        self.loss = Mean()
        self.left_out: list[UnreadableError] = []

    def add(self, made_of: dict, scores: Scores | None) -> None:
        """Adds a mixture: what it was made of (columns of `metrics.csv`), and its scores, None if it could not be
        scored.
        """
        row = {**made_of, "scored": int(scores is not None)}
        for name in COLUMNS:
            values = None if scores is None else scores[name]
            row[name] = "" if values is None else float(values.mean())
            for n in range(made_of["num_sources"]):
                row[f"{name}_{n + 1}"] = "" if values is None else float(values[n])
        self.rows.append(row)

    def merge(self, other: EvaluationTable) -> None:
        """Adds the mixtures of another process; rows and errors are sorted into the list's order again."""
        self.rows = sorted([*self.rows, *other.rows], key=lambda row: row["index"])
        self.left_out = sorted([*self.left_out, *other.left_out], key=lambda error: error.index)
        self.loss = Mean(self.loss.total + other.loss.total, self.loss.count + other.loss.count)

    @property
    def scored(self) -> list[dict]:
        return [row for row in self.rows if row["scored"]]

    def summary(self) -> dict:
        """Mean loss and scores, and how many mixtures there were, were scored, and could not be read."""
        counts = {"n_mixtures": len(self.rows), "n_scored": len(self.scored), "n_skipped": len(self.left_out)}
        return {"loss": self.loss.value, **_means(self.scored), **counts}

    def per_instrument(self) -> dict:
        """Number and mean scores of the sources of each instrument."""
        groups = defaultdict(list)
        for row in self.scored:
            for n in range(1, row["num_sources"] + 1):
                groups[row[f"instrument_{n}"]].append({name: row[f"{name}_{n}"] for name in COLUMNS})
        return _table(groups)

    def per_combination(self) -> dict:
        """Number and mean scores of the mixtures of the same instruments: `cello+violin`, in alphabetical order."""
        groups = defaultdict(list)
        for row in self.scored:
            groups["+".join(sorted(_of_sources(row, "instrument")))].append(row)
        return _table(groups)

    def by_likeness(self) -> dict:
        """Number and mean scores of the mixtures with and without two sources of the same instrument."""
        groups = defaultdict(list)
        for row in self.scored:
            names = _of_sources(row, "instrument")
            groups["distinct" if len(set(names)) == len(names) else "same_instrument"].append(row)
        return _table(groups)

    def write(self, run: Path, **about: object) -> None:
        """Writes `metrics.json` (summary, `about`, tables by instruments, the unscored) and `metrics.csv` (the rows).

        The scores by combination of instruments are `per_pair` where two sources make a mixture, else
        `per_combination`; what is not finite becomes null.

        Raises:
            InputError: not one mixture could be read.
        """
        if not self.rows:
            raise InputError(f"not one mixture could be read; the last: {self.left_out[-1]}")
        combination = "per_pair" if self.rows[0]["num_sources"] == 2 else "per_combination"
        content = {
            **self.summary(),
            **about,
            "per_instrument": self.per_instrument(),
            combination: self.per_combination(),
            "by_likeness": self.by_likeness(),
            "unscored": [
                {"index": row["index"], "audio": _of_sources(row, "audio")} for row in self.rows if not row["scored"]
            ],
            "skipped": [{"index": error.index, "file": error.path} for error in self.left_out],
        }
        write_json(run / "metrics.json", finite(content))
        with (
            replacing(run / "metrics.csv") as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows({column: as_cell(value) for column, value in row.items()} for row in self.rows)
        (run / INCOMPLETE).unlink(missing_ok=True)


def _of_sources(row: dict, column: str) -> list[str]:
    return [row[f"{column}_{n + 1}"] for n in range(row["num_sources"])]


def _table(groups: dict[str, list[dict]]) -> dict:
    return {name: {"n": len(groups[name]), **_means(groups[name])} for name in sorted(groups)}


def _means(rows: list[dict]) -> dict:
    means = {name: _mean([row[name] for row in rows]) for name in COLUMNS}
    for name, metric in METRICS.items():
        if metric.of_mixture:
            better = [metric.improvement(row[name], row[f"{name}_mixture"]) for row in rows]
            means[f"{name}_improvement"] = _mean(better)
    return means


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def format_summary(summary: dict) -> str:
    """The summary as a small table: the mixture's own scores above those of the estimates."""
    unscored, skipped = summary["n_mixtures"] - summary["n_scored"], summary["n_skipped"]
    widths = {name: max(8, len(metric.label) + 2) for name, metric in METRICS.items()}
    lines = [
        "".join([f"{'':12}", *(f"{METRICS[name].label:>{width}}" for name, width in widths.items()), f"   {units()}"])
    ]
    for title, ending in (("mixture", "_mixture"), ("separated", ""), ("improvement", "_improvement")):
        values = {name: summary.get(name + ending) for name in widths}
        cells = (
            " " * width if values[name] is None else f"{values[name]:z{width}.2f}" for name, width in widths.items()
        )
        lines.append(f"{title:12}{''.join(cells)}".rstrip())
    lines.append(
        f"loss {summary['loss']:.4f}, {summary['n_scored']} of {summary['n_mixtures']} mixtures scored, "
        f"{unscored} unscored" + f", {skipped} unreadable and left out" * bool(skipped)
    )
    return "\n".join(lines)
