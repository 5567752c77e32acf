"""Starts several processes on this machine from one command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from utils.distributed import LAUNCHER, STORE
from utils.leftovers import scratch
from utils.parallel import interrupts_waiting
from utils.threads import environment_of_each

SECONDS_TO_SAVE = 600  # after a signal, before the processes are killed
SECONDS_BETWEEN_LOOKS = 0.05


def launch(command: list[str], processes: int) -> int:
    """Runs a command in several processes on this machine; they meet in a file that only this user can open.

    PyTorch's own launcher has them meet at a network port, to which anybody who reaches the machine may write.

    Args:
        command: the arguments for `python`: a script, or -m and a module, then its arguments.

    Returns:
        The exit code: 0, or that of the process that failed first; 128 + n after signal n.
    """
    with scratch("meeting") as folder:
        environment = environment_of_each(processes, torch.get_num_threads())
        environment |= {STORE: str(folder / "store"), LAUNCHER: str(os.getpid())}
        environment |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
        started: list[subprocess.Popen] = []
        with _forwarding_signals(started) as came:
            for number in range(processes):
                own = {**environment, "RANK": str(number), "LOCAL_RANK": str(number)}
                with interrupts_waiting():  # in the process until it joins the others
                    started.append(subprocess.Popen([sys.executable, "-u", *command], env=own))
            code = _first_failure(started)
            _end(started, ask=not came)
    if came:
        return 128 + came[0]
    if code >= 0:
        return code
    number = next(n for n, process in enumerate(started) if process.returncode == code)
    print(f"error: process {number} was ended by signal {-code}", file=sys.stderr)
    return 128 - code


@contextmanager
def _forwarding_signals(processes: list[subprocess.Popen]) -> Iterator[list[int]]:
    """While entered, SIGINT and SIGTERM are passed on to the processes; yields the list of those that were received."""
    came: list[int] = []

    def forward(number: int, frame: object) -> None:
        came.append(number)
        for process in processes:
            process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_failure(processes: list[subprocess.Popen]) -> int:
    """Waits until one process fails or all have ended -> its exit code, a signal as a negative number, or 0."""
    while True:
        codes = [process.poll() for process in processes]
        failed = [code for code in codes if code]
        if failed:
            return min(failed)  # if several failed, the one that was killed is the cause
        if None not in codes:
            return 0
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _end(processes: list[subprocess.Popen], ask: bool) -> None:
    """Waits for the processes that still run, with `ask` after sending each SIGTERM; kills them if they take
    too long.
    """
    running = [process for process in processes if process.poll() is None]
    for process in running:
        if ask:
            process.terminate()
    end = time.monotonic() + SECONDS_TO_SAVE
    for process in running:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
