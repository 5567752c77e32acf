"""The process's standard streams: open, and quiet where a library prints."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def open_standard_streams() -> None:
    """Opens those that are closed: the next file would get their number, and what is written to them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """What is written to standard error by code of other languages goes nowhere."""
    open_standard_streams()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
