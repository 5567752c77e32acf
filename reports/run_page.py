"""The page of one evaluated run."""

from __future__ import annotations

from pathlib import Path

from reports.evaluated import Evaluation, Mixture, read_evaluation, write_media
from reports.figures import write_figures
from reports.page import MINUS, writing_page
from runs.state import read_history
from utils.conditioning import format_conditioning
from utils.metrics import METRICS, units

COLUMNS = [
    {"key": "sdr_mixture", "label": "SDR before"},
    {"key": "sdr", "label": "SDR"},
    {"key": "improvement", "label": "improvement", "signed": True},
    *(
        {"key": name, "label": metric.label, "lower_is_better": not metric.higher_is_better}
        for name, metric in METRICS.items()
        if name != "sdr"
    ),
]


def write_run_page(run: Path) -> Path:
    """Writes `<run>/report/` from the results in the run's folder.

    Returns:
        The page, `<run>/report/index.html`.

    Raises:
        InputError: the run was not evaluated, or its results are damaged; the page cannot be written (WriteError).
    """
    evaluation, folder = read_evaluation(run), run / "report"
    history = read_history(run)
    with writing_page(folder) as (new, page):
        page |= {
            "title": run.resolve().name,
            "about": about(evaluation),
            "scores": scores(evaluation.summary),
            "figures": [
                {"file": f"figures/{figure['file']}", "title": figure["title"]}
                for figure in write_figures(evaluation, history, new / "figures")
            ],
            "columns": COLUMNS,
            "rows": [row(new, mixture, evaluation) for mixture in evaluation.mixtures],
        }
    return folder / "index.html"


def about(evaluation: Evaluation) -> list[str]:
    """What was evaluated, one line for each fact."""
    summary = evaluation.summary
    epoch = f", after epoch {summary['epoch']}" if "epoch" in summary else ""
    lines = [f"{summary['n_mixtures']} mixtures of {summary.get('eval_list') or summary['list_val']}{epoch}"]
    drawn = sum(mixture.folder is not None for mixture in evaluation.mixtures)
    if drawn < len(evaluation.mixtures):
        lines.append(f"{drawn} of them to hear and see (--num_vis)")
    return lines


def scores(summary: dict) -> dict:
    """The mean scores, with those of the unprocessed mixture above them."""
    names = list(METRICS)
    rows = [
        {"name": "mixture", "values": [summary.get(f"{name}_mixture") for name in names]},
        {"name": "separated", "values": [summary.get(name) for name in names]},
        {"name": "improvement", "values": [summary.get(f"{name}_improvement") for name in names], "signed": True},
    ]
    notes = [
        f"{units()}, means of {summary['n_scored']} scored mixtures; "
        f"{summary['n_mixtures'] - summary['n_scored']} unscored"
    ]
    if summary.get("conditioning"):
        notes += format_conditioning(summary["conditioning"]).replace("-", MINUS).split("\n")
    return {"columns": ["", *(metric.label for metric in METRICS.values())], "rows": rows, "notes": notes}


def row(page: Path, mixture: Mixture, evaluation: Evaluation) -> dict:
    """A mixture's row of the table, with what it opens to if it was drawn."""
    values = {column["key"]: mixture.score(column["key"]) for column in COLUMNS} | {"improvement": mixture.improvement}
    media = write_media(page, mixture, {"": mixture.folder}, evaluation.summary) if mixture.folder else None
    return {
        "index": mixture.index,
        "name": mixture.recordings,
        "instruments": mixture.instruments,
        "values": values,
        "media": media,
    }
