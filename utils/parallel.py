"""Work on many files by several processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

CHUNK = 16  # items handed to a process at a time


@contextmanager
def mapper(workers: int, chunk: int = CHUNK) -> Iterator[Callable]:
    """Yields a `map` over `workers` processes, results in the items' order; one alone works in place.

    chunk: items handed to a process at a time; 1 suits items that take long.
    """
    if workers == 1:
        yield map
        return
    # Spawned, not forked: the caller may hold threads, which a fork would copy half-way.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent)
    try:
        yield lambda function, items: pool.map(function, items, chunksize=chunk)
    finally:
        pool.shutdown(cancel_futures=True)


def end_with_parent() -> None:
    """Called in a worker: without its parent, which a signal may end at once, it would wait for ever."""

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
