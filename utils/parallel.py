"""Work on many files in several processes."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import InvalidStateError, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

CHUNK = 16  # items handed to a process at a time


def usable_cores() -> int:
    """Cores that this process may use, which may be fewer than the machine has: by its affinity and its cgroups."""
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
    allowed = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(1, min([allowed, *_cgroup_limits()]))


def _cgroup_limits() -> Iterator[int]:
    """The cores that Linux's control groups allow this process, as containers and Slurm set them; rounded up."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            folder = Path("/sys/fs/cgroup", *(["cpu"] if "cpu" in controllers.split(",") else []), group.lstrip("/"))
            for place in (folder, *folder.parents):
                yield from _limit_in(place)
                if place == Path("/sys/fs/cgroup"):
                    break


def _limit_in(folder: Path) -> Iterator[int]:
    """The limit that a control group's folder holds, of version 2 or 1, if any."""
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        yield math.ceil(int(quota) / int(period))
    with suppress(OSError, ValueError):
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        if quota > 0:
            yield math.ceil(quota / int((folder / "cpu.cfs_period_us").read_text()))


@contextmanager
def mapper(workers: int, chunk: int = CHUNK) -> Iterator[Callable]:
    """Yields a `map` over `workers` processes, with results in the order of the items; a single worker works in place.

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
    """Hides an error of CPython 3.11's pool, whose own thread fails when work is cancelled while its worker ends."""
    if not isinstance(told.exc_value, InvalidStateError):
        threading.__excepthook__(told)


@contextmanager
def interrupts_waiting() -> Iterator[None]:
    """While entered, Ctrl-C is delayed; in processes started meanwhile it is delayed until `start_worker`, past the
    imports.
    """
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
    """Called in a worker: Ctrl-C ends it silently, and so does the end of its parent.

    A worker whose parent was killed would otherwise wait for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
