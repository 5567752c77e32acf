"""Progress: a bar on a terminal, a line now and then in a log file; only the first of several processes shows it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Iterator

from tqdm import tqdm

from utils.distributed import is_main, main_only


class Bar:
    """A bar of `total` steps on a terminal; elsewhere a line every `every` steps and one at the end.

    Args:
        label: what is being done, such as "epoch 3".
        every: steps between two lines of a log.
        done: how many of the steps were done before and will not be repeated.
    """

    def __init__(self, total: int, label: str, every: int = 20, done: int = 0):
        self.total, self.label, self.every, self.done = total, label, max(1, every), done
        self.note = ""
        self._first, self._start = done, 0.0
        self._bar = tqdm(
            total=total,
            initial=done,
            desc=label,
            leave=False,
            dynamic_ncols=True,
            disable=None if is_main() else True,
        )

    def __enter__(self) -> Bar:
        self._start = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def step(self) -> None:
        """One more is done."""
        self.done += 1
        if not self._bar.disable:
            self._bar.set_postfix_str(self.note, refresh=False)
            self._bar.update()
        elif is_main() and (self.done % self.every == 0 or self.done == self.total):
            seconds = (time.monotonic() - self._start) / (self.done - self._first)
            left = tqdm.format_interval(round((self.total - self.done) * seconds))
            told = f"{self.label} [{self.done}/{self.total}] {seconds:.2f} s each, {left} left {self.note}"
            print(told.rstrip(), flush=True)

    def leave_out(self, steps: int) -> None:
        """Some of the steps will not come."""
        self.total -= steps
        self._bar.total = self.total
        self._bar.refresh()

    def through(self, items: Iterable) -> Iterator:
        """The items, each of which is a step, but no more steps than the items' length, if they have one."""
        left = len(items) if hasattr(items, "__len__") else math.inf
        for item in items:
            yield item
            if left > 0:
                self.step()
            left -= 1


class Progress:
    """Iterates over `items` and shows the progress with a `Bar`.

    Args:
        items: what to iterate over; needs a length.
        label, every, done: as of a `Bar`.
    """

    def __init__(self, items: Iterable, label: str, every: int = 20, done: int = 0):
        self.items = items
        self._bar = Bar(len(items), label, every, done)

    def __iter__(self) -> Iterator:
        with self._bar:
            yield from self._bar.through(self.items)

    @property
    def note(self) -> str:
        """What is shown beside the progress."""
        return self._bar.note

    @note.setter
    def note(self, text: str) -> None:
        self._bar.note = text


@main_only
def say(text: str) -> None:
    """Prints a line to standard output without tearing a bar apart."""
    with tqdm.external_write_mode(sys.stdout):
        print(text, flush=True)


@main_only
def complain(text: str) -> None:
    """Prints a line to standard error without tearing a bar apart."""
    with tqdm.external_write_mode(sys.stderr):
        print(" ".join(text.split()), file=sys.stderr, flush=True)
