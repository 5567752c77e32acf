"""What a run's folder holds in addition to its weights: its configuration, and what is removed when another
run begins.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import mir_eval
import numpy as np
import torch

from runs.lock import LOCK
from utils.commit import git_commit
from utils.distributed import is_main, main_only
from utils.files import TEMPORARY, write_json

# Stands in a run's folder while the results of an evaluation replace those of the one before.
INCOMPLETE = ".evaluation-incomplete"


@main_only
def write_config(run: Path, options: dict, device: torch.device, **about: str) -> None:
    """Writes `config.json`: what `describe_run` returns, and `about`."""
    write_json(run / "config.json", {**describe_run(options, device), **about})


def describe_run(options: dict, device: torch.device) -> dict:
    """Every option, the versions of the libraries that compute, the git commit and the device."""
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    versions |= {library.__name__: library.__version__ for library in (torch, np, mir_eval, matplotlib)}
    return {"options": options, "versions": versions, "git_commit": git_commit(), "device": str(device)}


def is_empty(run: Path) -> bool:
    """Whether a run's folder holds nothing yet, or does not exist."""
    if not run.is_dir():
        return not run.exists()
    return all(path.name == LOCK or TEMPORARY.fullmatch(path.name) for path in run.iterdir())


@main_only
def remove_results(run: Path) -> None:
    """Removes what an earlier run left in its folder, except `last.pth` and files that are not a run's: a new run
    begins there.
    """
    remove_visuals(run)
    for folder in ("tensorboard", "report"):
        shutil.rmtree(run / folder, ignore_errors=True)
    for pattern in ("*_latest.pth", "*_best.pth", "metrics.*", "loss.png", "config.json", "skipped.json", INCOMPLETE):
        for path in run.glob(pattern):
            path.unlink()


def remove_visuals(run: Path) -> None:
    """Removes the mixtures that an earlier evaluation drew, because they do not belong to the next one's scores."""
    for folder in (run / "visualization").glob("[0-9][0-9][0-9][0-9]_*"):
        shutil.rmtree(folder)


@contextmanager
def replacing_visuals(run: Path) -> Iterator[Path]:
    """Yields a folder to draw mixtures in; if all goes well they replace those of the previous evaluation.

    From then until its scores are written too (`EvaluationTable.write`) the evaluation counts as incomplete.
    """
    new = run / ".visualization.tmp"
    if not is_main():
        yield new
        return
    shutil.rmtree(new, ignore_errors=True)
    try:
        yield new
        (run / INCOMPLETE).touch()
        remove_visuals(run)
        for folder in new.glob("*"):
            (run / "visualization").mkdir(exist_ok=True)
            folder.rename(run / "visualization" / folder.name)
    finally:
        shutil.rmtree(new, ignore_errors=True)
