"""Processes that do iterations when they are told to, so that what is compared takes turns on a noisy machine.

It imports nothing of ours: the process may run another checkout's code.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]


class Worker:
    """A process that does iterations when it is told to, and waits otherwise; a context, whose start waits for it.

    Args:
        code: Python statements; the last one calls `serve`, which is imported already.
        environment: its environment variables.
        checkout: the checkout whose code it imports.

    Raises:
        WorkerError: it ended before it was ready or before its iterations were done.
    """

    def __init__(self, code: str, environment: dict[str, str], checkout: Path = CHECKOUT):
        paths = [str(checkout), str(checkout / "scripts")]
        prelude = f"import sys; sys.path[:0] = {paths!r}; sys.path.append({str(HERE)!r})\nfrom turns import serve\n"
        self.process = subprocess.Popen(
            [sys.executable, "-c", prelude + code],
            env=environment,
            cwd=checkout,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Worker:
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()

    def begin(self, iterations: int = 1, seconds: float = 0.0) -> None:
        """Starts as many iterations, and more until the time is over."""
        self.process.stdin.write(f"{iterations} {seconds}\n")
        self.process.stdin.flush()

    def taken_s(self) -> list[float]:
        """Waits until they are done: the seconds of each."""
        return [float(seconds) for seconds in self._answer().split()]

    def median_s(self) -> float:
        return statistics.median(self.taken_s())

    def _answer(self) -> str:
        """The next line that `serve` writes."""
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(f"a process that takes turns ended, exit code {self.process.wait()}; its reason is above")
        return line


class WorkerError(Exception):
    """A process that takes turns ended early."""


def serve(iteration: Callable[[], object], warm: int = 2) -> None:
    """Does what standard input asks for; called in the process."""
    for _ in range(warm):
        iteration()
    print("ready", flush=True)
    for line in sys.stdin:
        iterations, seconds = line.split()
        end, taken = time.perf_counter() + float(seconds), []
        while len(taken) < int(iterations) or time.perf_counter() < end:
            start = time.perf_counter()
            iteration()
            taken.append(time.perf_counter() - start)
        print(*taken, flush=True)
