"""Work on many files by several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import InvalidStateError, ProcessPoolExecutor
from contextlib import contextmanager

CHUNK = 16  # items handed to a process at a time


def usable_cores() -> int:
    """Cores that this process may run on, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker)
    before, threading.excepthook = threading.excepthook, _tell_unless_cancelled
    try:

        def mapped(function: Callable, items: Iterable) -> Iterator:
            with interrupts_waiting():  # all processes start here
                return pool.map(function, items, chunksize=chunk)

        yield mapped
    finally:
        pool.shutdown(cancel_futures=True)
        threading.excepthook = before


def _tell_unless_cancelled(told: threading.ExceptHookArgs) -> None:
    """Work that is cancelled while its worker ends makes the pool's own thread fail (CPython 3.11): that is no news."""
    if not isinstance(told.exc_value, InvalidStateError):
        threading.__excepthook__(told)


@contextmanager
def interrupts_waiting() -> Iterator[None]:
    """Meanwhile Ctrl-C waits; processes that are started have it wait until `start_worker`, and not in the imports."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    came, handler = [], None
    if (
        threading.current_thread() is threading.main_thread()
    ):  # another thread may take the signal, which blocks nothing
        handler = signal.signal(signal.SIGINT, lambda *_: came.append(True))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)


def start_worker() -> None:
    """Called in a worker: Ctrl-C ends it without a word, and so does the end of its parent.

    Without its parent, which a signal may end at once, it would wait for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
