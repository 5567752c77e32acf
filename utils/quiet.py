"""The process's standard streams: kept open, and silenced where a library prints."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def open_standard_streams() -> None:
    """Opens standard streams that are closed: otherwise the next file would get their number, and what is written to
    them.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Discards what code in other languages writes to standard error."""
    open_standard_streams()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
