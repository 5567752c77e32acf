"""The paper's table: SDR, SIR and SAR, by what the separation is conditioned on and by the number of sources."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from reports.comparison import mean_interval, read_comparison
from reports.evaluated import MOST_SOURCES
from utils.cells import as_cell
from utils.errors import InputError
from utils.figures import save_figure
from utils.files import check_run_folder, read_json, replacing
from utils.metrics import METRICS

# In the table's order: what needs no training stands around what is conditioned on something.
CONDITIONS = ("mixture", "nmf", "label", "depth", "rgb-depth", "ideal-binary", "ideal-ratio")
PAPER = ("sdr", "sir", "sar")  # the scores that it reports
HEADS = {
    **{name: METRICS[name].label for name in PAPER},
    **{"sdr_mixture": f"{METRICS['sdr'].label} of the mixture", "improvement": "improvement"},
}


@dataclass(frozen=True)
class Score:
    """A mean in dB and its 95 % interval (None for a single mixture)."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class TableRow:
    """A run in the table.

    condition: of CONDITIONS. n: the number of mixtures that all runs with as many sources scored; the means are over
    these. scores: of each of HEADS.
    """

    run: Path
    num_mix: int
    condition: str
    n: int
    scores: dict[str, Score]


def read_rows(runs: Sequence[Path]) -> list[TableRow]:
    """The runs' rows, by the number of sources, then by condition.

    Raises:
        InputError: a run was not evaluated or has no `config.json`, or runs with the same number of sources were not
            evaluated on the same mixtures.
    """
    options = {run: _options(run) for run in runs}
    key = {run: (options[run]["num_mix"], CONDITIONS.index(condition_of(options[run]))) for run in runs}
    rows = []
    for _, group in groupby(sorted(runs, key=lambda run: key[run]), lambda run: key[run][0]):
        group = list(group)
        scored_by_all = [
            pair for pair in read_comparison(group).pairs if all(mixture.score("sdr") is not None for mixture in pair)
        ]
        if not scored_by_all:
            raise InputError(f"{', '.join(map(str, group))}: not one mixture was scored by all of them")
        for run, scored in zip(group, zip(*scored_by_all, strict=True), strict=True):
            values = {name: [mixture.score(name) for mixture in scored] for name in HEADS if name != "improvement"}
            values["improvement"] = [mixture.improvement for mixture in scored]
            scores = {name: _mean(np.array(values[name])) for name in HEADS}
            rows.append(TableRow(run, key[run][0], condition_of(options[run]), len(scored), scores))
    return rows


def condition_of(options: dict) -> str:
    """The condition, one of CONDITIONS, of a run or baseline with these options."""
    if "baseline" in options:
        return options["baseline"]
    if options["arch_vision"] == "label":
        return "label"
    return "rgb-depth" if options["rgbs_feature"] else "depth"


def _options(run: Path) -> dict:
    check_run_folder(run)
    options = read_json(run / "config.json").get("options")
    told = options if isinstance(options, dict) else {}
    num_mix, has_colours = told.get("num_mix"), told.get("rgbs_feature")
    is_right = isinstance(num_mix, int) and 2 <= num_mix <= MOST_SOURCES and has_colours in (0, 1)
    is_known = told.get("baseline", "mixture") in CONDITIONS
    if not is_right or not is_known or not isinstance(told.get("arch_vision"), str):
        raise InputError(f"{run / 'config.json'}: does not hold a run's options")
    return told


def _mean(values: np.ndarray) -> Score:
    return Score(float(values.mean()), *(mean_interval(values) or (None, None)))


def write_table(rows: Sequence[TableRow], folder: Path) -> list[Path]:
    """Writes `comparison.md`, `.csv`, `.tex` and `.png` into `folder`; returns their paths."""
    texts = {"md": as_markdown(rows), "csv": as_csv(rows), "tex": as_latex(rows)}
    paths = []
    for ending, text in texts.items():
        paths.append(folder / f"comparison.{ending}")
        with replacing(paths[-1]) as temporary:
            temporary.write_text(text, encoding="utf-8")
    paths.append(folder / "comparison.png")
    save_figure(draw(rows), paths[-1], dpi=130)
    return paths


def as_markdown(rows: Sequence[TableRow]) -> str:
    """Means and intervals in dB."""
    lines = [f"| N | conditioned on | {' | '.join(HEADS.values())} | mixtures |", "| --- " * (len(HEADS) + 3) + "|"]
    for row in rows:
        cells = [_cell(score) for score in row.scores.values()]
        lines.append(f"| {row.num_mix} | {row.condition} | {' | '.join(cells)} | {row.n} |")
    return "\n".join(lines) + "\n"


def _cell(score: Score) -> str:
    interval = "" if score.low is None else f" [{score.low:z.2f}, {score.high:z.2f}]"
    return f"{score.mean:z.2f}{interval}"


def as_csv(rows: Sequence[TableRow]) -> str:
    """One column for each mean and for each end of its interval."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [column for name in HEADS for column in (name, f"{name}_low", f"{name}_high")]
    writer.writerow(["num_mix", "condition", *columns, "n_scored", "run"])
    for row in rows:
        values = [value for score in row.scores.values() for value in (score.mean, score.low, score.high)]
        writer.writerow([row.num_mix, row.condition, *values, row.n, as_cell(row.run.name)])
    return text.getvalue()


def as_latex(rows: Sequence[TableRow]) -> str:
    """A `tabular` for the package booktabs, with half of the interval after each mean."""
    lines = [rf"\begin{{tabular}}{{cl{'r' * len(HEADS)}}}", r"\toprule"]
    lines += [rf"$N$ & conditioned on & {' & '.join(HEADS.values())} \\", r"\midrule"]
    for number, row in enumerate(rows):
        if number and row.num_mix != rows[number - 1].num_mix:
            lines.append(r"\midrule")
        cells = []
        for score in row.scores.values():
            half = "" if score.low is None else rf" \pm {(score.high - score.low) / 2:.2f}"
            cells.append(f"${score.mean:z.2f}{half}$")
        lines.append(rf"{row.num_mix} & {row.condition} & {' & '.join(cells)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def draw(rows: Sequence[TableRow]) -> Figure:
    """SDR, SIR and SAR of every row with their intervals, and the mixture's SDR as a line."""
    numbers = sorted({row.num_mix for row in rows})
    figure = Figure(figsize=(1.5 + 4 * len(numbers), 4), layout="constrained")
    for place, number in enumerate(numbers, 1):
        axes = figure.add_subplot(1, len(numbers), place, title=f"{number} sources", ylabel="dB")
        group = [row for row in rows if row.num_mix == number]
        for n, row in enumerate(group):
            at = np.arange(len(PAPER)) + (n - (len(group) - 1) / 2) * 0.8 / len(group)
            scores = [row.scores[name] for name in PAPER]
            means = [score.mean for score in scores]
            spread = [[s.mean - (s.mean if s.low is None else s.low), (s.high or s.mean) - s.mean] for s in scores]
            axes.bar(at, means, 0.8 / len(group), yerr=np.clip(np.transpose(spread), 0, None), label=row.condition)
        mixture = group[0].scores["sdr_mixture"].mean
        axes.plot([-0.45, 0.45], [mixture, mixture], color="black", linestyle=":", label="SDR of the mixture")
        axes.set_xticks(range(len(PAPER)), [HEADS[name] for name in PAPER])
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
        axes.legend(fontsize=8)
    return figure
