"""The console commands of the installed package. Each does what a script of the repository does."""

from __future__ import annotations

from utils.start import start_command

start_command("__main__")

from collections.abc import Callable


def train() -> None:
    """`pcss-train`, which is `main.py`."""
    from main import main
    from utils.distributed import run_to_end

    run_to_end(lambda: _run(main))


def separate() -> None:
    """`pcss-separate`."""
    from scripts.separate import main

    _run(main)


def report() -> None:
    """`pcss-report`."""
    from scripts.report import main

    _run(main)


def create_index_files() -> None:
    """`pcss-create-index-files`."""
    from scripts.create_index_files import main

    _run(main)


def _run(main: Callable[[], int | None]) -> None:
    from utils.errors import run_command

    run_command(main)
