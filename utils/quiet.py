"""Keeps what a library prints off the user's terminal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """What is written to standard error by code of other languages goes nowhere; it may be closed."""
    try:
        saved = os.dup(2)
    except OSError:  # closed: what opens a file next may get its number, and is not to be replaced
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
