"""SIGINT and SIGTERM as requests to stop at the next suitable point."""

from __future__ import annotations

import os
import signal
import threading
import time

from utils.distributed import is_launched, is_main, largest

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """A signal asked to stop: `number`."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


class StopSignals:
    """While entered, the first SIGINT or SIGTERM is recorded, and a second one ends the process at once.

    Work that may stop between two steps calls `check` there.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.silent = not is_main()
        self._before: dict = {}

    def __enter__(self) -> StopSignals:
        self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raises `Stopped` if a signal was received; in all processes, if any received it, so all must call it equally
        often.
        """
        (number,) = largest(self.number or 0)
        if number:
            raise Stopped(number)

    def wait(self, seconds: float) -> bool:
        """Waits silently for a signal; returns whether one came."""
        self.silent = True
        end = time.monotonic() + seconds
        while self.number is None and time.monotonic() < end:
            time.sleep(0.05)
        return self.number is not None

    def _handle(self, number: int, frame: object) -> None:
        if self.number is not None:
            if is_launched():  # the launcher may repeat the signal, and kills after a time limit of its own
                return
            os._exit(128 + number)
        self.number = number
        if self.silent:
            return
        line = f"{signal.Signals(number).name}: stopping after this iteration; a second signal ends it at once\n"
        os.write(2, line.encode())  # print may be what was interrupted


def leave_to_parent(worker: int) -> None:
    """Called in a loader's worker process: signals to the whole process group are left for the parent to act on.

    SIGINT is ignored, and so is SIGTERM, except from the parent, which ends its workers with it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # which alone tells the sender
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_by_parent, daemon=True).start()


def _end_by_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
