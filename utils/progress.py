"""Progress on a terminal as a bar, in a log file as a line now and then; of several processes one shows it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator

from tqdm import tqdm

from utils.distributed import is_main, main_only


class Progress:
    """Iterates over `items` and shows how far it is.

    On a terminal a tqdm bar; elsewhere one line every `every` items and one at the end.

    Args:
        items: what to go through; needs a length.
        label: what is going on, such as "epoch 3".
        every: items between two lines of a log.
        done: how many of the items' length were done before, and do not come again.
    """

    def __init__(self, items: Iterable, label: str, every: int = 20, done: int = 0):
        self.items, self.label, self.every, self.done = items, label, max(1, every), done
        self.note = ""
        self._bar = tqdm(
            total=len(items),
            initial=done,
            desc=label,
            leave=False,
            dynamic_ncols=True,
            disable=None if is_main() else True,
        )

    def __iter__(self) -> Iterator:
        start, total = time.monotonic(), len(self.items)
        try:
            for done, item in enumerate(self.items, self.done + 1):
                yield item
                if not self._bar.disable:
                    self._bar.set_postfix_str(self.note, refresh=False)
                    self._bar.update()
                elif is_main() and (done % self.every == 0 or done == total):
                    seconds = (time.monotonic() - start) / (done - self.done)
                    print(f"{self.label} [{done}/{total}] {seconds:.2f} s each {self.note}".rstrip(), flush=True)
        finally:
            self._bar.close()


@main_only
def say(text: str) -> None:
    """Prints a line to standard output without tearing a bar apart."""
    with tqdm.external_write_mode(sys.stdout):
        print(text, flush=True)
