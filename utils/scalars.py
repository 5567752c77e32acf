"""Curves for TensorBoard, written in place: what cannot be written is an error here, not in a thread."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from utils.errors import WriteError


class ScalarLog:
    """An event file in `folder`; a context manager.

    Args:
        folder: of the run's curves; made if it is missing.
        first_step: earlier files' events from this step on count no more: they will come again.

    Raises:
        WriteError: from every method, if the file cannot be written.
    """

    def __init__(self, folder: Path, first_step: int = 0):
        name = f"events.out.tfevents.{time.time_ns() // 10**9:010d}.{socket.gethostname()}.{os.getpid()}"
        self.path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "ab")  # noqa: SIM115  (closed by __exit__)
        except OSError as error:
            raise self._error(error) from error
        self._write([Event(file_version="brain.Event:2"), _start(first_step)])

    def __enter__(self) -> ScalarLog:
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(OSError):  # of what `add` has complained about already
            self._file.close()

    def add(self, step: int, values: dict[str, float]) -> None:
        """Adds a point to each of the named curves."""
        points = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write([Event(step=step, summary=Summary(value=points))])

    def _write(self, events: list[Event]) -> None:
        try:
            for event in events:
                event.wall_time = time.time()
                RecordWriter(self._file).write(event.SerializeToString())
            self._file.flush()
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> WriteError:
        return WriteError(f"{self.path}: cannot be written ({error.strerror or error})")


def _start(step: int) -> Event:
    return Event(step=step, session_log=SessionLog(status=SessionLog.START))
