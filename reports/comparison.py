"""The page of several runs that were evaluated on the same mixtures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import bootstrap

from reports.evaluated import Evaluation, Mixture, read_evaluation, write_media
from reports.page import MINUS, writing_page
from utils.errors import InputError
from utils.metrics import METRICS, Metric, units

RESAMPLES = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """A run's score minus the first run's: the mean over n mixtures and its interval (None for fewer
    than two).
    """

    mean: float
    low: float | None
    high: float | None
    n: int

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{self.low:+z.2f}, {self.high:+z.2f}]"
        return f"{self.mean:+z.2f}{interval}"


def paired_difference(first: list[float], second: list[float], seed: int = 0) -> Difference:
    """The mean of `second - first`, pair by pair, with a 95 % bootstrap interval (BCa: Efron, JASA 1987).

    Mixtures are resampled with both their scores, so that what makes a mixture hard for both runs cancels.
    """
    differences = np.subtract(second, first)
    low, high = mean_interval(differences, seed) or (None, None)
    return Difference(float(differences.mean()), low, high, len(differences))


def mean_interval(values: np.ndarray, seed: int = 0) -> tuple[float, float] | None:
    """The 95 % bootstrap interval (BCa) of the mean of values `[n]`; None for fewer than two values."""
    if len(values) < 2:
        return None
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    interval = bootstrap(
        *((values,), np.mean), n_resamples=RESAMPLES, confidence_level=CONFIDENCE, rng=np.random.default_rng(seed)
    ).confidence_interval
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Comparison:
    """Runs by short names, and the mixtures that all of them separated: pairs[i] is mixture i of every run."""

    runs: dict[str, Evaluation]
    pairs: list[tuple[Mixture, ...]]

    def difference(self, run: str, score: str) -> Difference | None:
        """The difference between a run's score and the first run's, over the mixtures that both scored; None if there
        are none.
        """
        number = list(self.runs).index(run)
        scores = [(pair[0].score(score), pair[number].score(score)) for pair in self.pairs]
        both = [(a, b) for a, b in scores if a is not None and b is not None]
        return paired_difference(*map(list, zip(*both, strict=True))) if both else None


def read_comparison(runs: list[Path]) -> Comparison:
    """The evaluations of several runs, matched mixture by mixture.

    Raises:
        InputError: as `read_evaluation`, or they were not evaluated on the same mixtures.
    """
    evaluations = [read_evaluation(run) for run in runs]
    mixtures = [{mixture.made_of: mixture for mixture in evaluation.mixtures} for evaluation in evaluations]
    for run, found in zip(runs[1:], mixtures[1:], strict=True):
        if found.keys() != mixtures[0].keys():
            raise InputError(
                f"{run}: evaluated on other mixtures than {runs[0]}; evaluate it on the same: python main.py "
                f"--mode eval --id {run.name} --eval_list {runs[0] / 'metrics.csv'}"
            )
    pairs = [tuple(found[key] for found in mixtures) for key in mixtures[0]]
    return Comparison(dict(zip(short_names(runs), evaluations, strict=True)), pairs)


def short_names(runs: list[Path]) -> list[str]:
    """Short names for the runs: the words of their names that are not common to all."""
    words = [run.resolve().name.split("-") for run in runs]
    common = set(words[0]).intersection(*words[1:])
    names = ["-".join(word for word in own if word not in common) for own in words]
    if len(set(names)) < len(names) or "" in names:
        names = [run.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run) for run in runs]


def write_comparison_page(runs: list[Path], folder: Path) -> tuple[Path, Comparison]:
    """Writes the page of several runs into `folder`; the others are compared with the first.

    Returns:
        `<folder>/index.html`, and what it compares.

    Raises:
        InputError: as `read_comparison`; the page cannot be written (WriteError).
    """
    comparison = read_comparison(runs)
    first, *others = comparison.runs
    columns = [{"key": "sdr_mixture", "label": "SDR before"}]
    columns += [{"key": f"sdr of {run}", "label": f"SDR {run}"} for run in comparison.runs]
    columns += [{"key": f"{run} less", "label": f"{run} {MINUS} {first}", "signed": True} for run in others]
    with writing_page(folder) as (new, page):
        page |= {
            "title": " / ".join(comparison.runs),
            "about": [f"{name}: {run.resolve().name}" for name, run in zip(comparison.runs, runs, strict=True)],
            "scores": scores(comparison),
            "figures": [],
            "columns": columns,
            "rows": [row(new, pair, comparison) for pair in comparison.pairs],
        }
    return folder / "index.html", comparison


def scores(comparison: Comparison) -> dict:
    """Mean scores of every run, with notes on how each differs from the first."""
    first, *others = comparison.runs
    rows = []
    for name, evaluation in comparison.runs.items():
        rows.append({"name": name, "values": [evaluation.summary.get(score) for score in METRICS]})
    notes = [units()]
    for run in others:
        found = {_label(metric): comparison.difference(run, name) for name, metric in METRICS.items()}
        told = ", ".join(
            f"{label} {difference}".replace(" -", f" {MINUS}").replace("[-", f"[{MINUS}")
            for label, difference in found.items()
            if difference
        )
        count = max((difference.n for difference in found.values() if difference), default=0)
        notes.append(f"{run} less {first}: {told or 'no mixture that both scored'} ({count} mixtures)")
    notes.append(f"in brackets {CONFIDENCE:.0%} intervals of the mean difference, by a paired bootstrap over mixtures")
    return {"columns": ["", *(metric.label for metric in METRICS.values())], "rows": rows, "notes": notes}


def _label(metric: Metric) -> str:
    return metric.label if metric.higher_is_better else f"{metric.label} (lower is better)"


def row(page: Path, pair: tuple[Mixture, ...], comparison: Comparison) -> dict:
    """The row of a mixture, with what it opens to if every run drew it."""
    names = list(comparison.runs)
    values = dict(zip(names, (mixture.score("sdr") for mixture in pair), strict=True))
    of_runs = {f"sdr of {name}": value for name, value in values.items()}
    differences = {}
    for name in names[1:]:
        known = values[name] is not None and values[names[0]] is not None
        differences[f"{name} less"] = values[name] - values[names[0]] if known else None
    media = None
    if all(mixture.folder for mixture in pair):
        folders = dict(zip(names, (mixture.folder for mixture in pair), strict=True))
        media = write_media(page, pair[0], folders, comparison.runs[names[0]].summary)
    return {
        "index": pair[0].index,
        "name": pair[0].recordings,
        "instruments": pair[0].instruments,
        "values": {"sdr_mixture": pair[0].score("sdr_mixture"), **of_runs, **differences},
        "media": media,
    }
