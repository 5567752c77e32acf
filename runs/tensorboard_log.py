"""What TensorBoard shows, written by this process itself, so that a failure to write is an error here and not in a
thread.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import hparams, mesh

from runs.visuals import Shown, encode_picture, encode_wave
from utils import metrics
from utils.errors import WriteError
from utils.files import make_folder
from utils.metrics import COLUMNS

LOGGED_MIXTURES = 4  # the first of an evaluation; with the published options 1.3 MB each, the next time 0.5 MB
MOST_POINTS = 4000  # points shown of a cloud
POINT_SIZE_M = 0.015  # as large as a musician's points are apart when there are so many

CURVES = (
    "loss",
    *COLUMNS,
    *(f"{name}_improvement" for name, metric in metrics.METRICS.items() if metric.of_mixture),
)
CURVE_TAGS = tuple(f"{part}/{name}" for part in ("val", "best") for name in CURVES) + ("best/epoch",)

CloudReader = Callable[[str], tuple[np.ndarray, np.ndarray | None]]


class TensorBoardLog:
    """An event file in `folder`; a context manager.

    Args:
        folder: made if it is missing; with None nothing is written anywhere.
        first_step: step to resume at; older events from here on are superseded. With 0 the old files are removed.

    Raises:
        WriteError: from every method, if the file cannot be written.
    """

    def __init__(self, folder: Path | None, first_step: int = 0):
        self._file = None
        self._complete: set[str] = set()  # mixtures of which this file holds all that does not change
        if folder is None:
            return
        name = f"events.out.tfevents.{time.time_ns() // 10**9:010d}.{socket.gethostname()}.{os.getpid()}"
        self.path = folder / name
        try:
            make_folder(folder)
            for old in folder.glob("events.out.tfevents.*") if first_step == 0 else ():
                old.unlink()
            self._file = open(self.path, "ab")  # noqa: SIM115  (closed by __exit__)
        except OSError as error:
            raise self._error(error) from error
        self._write([Event(file_version="brain.Event:2"), _start(first_step)])

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file:
            with suppress(OSError):  # of what `add` has complained about already
                self._file.close()

    def add(self, step: int, values: dict[str, float]) -> None:
        """Adds a point to each of the named curves."""
        self._add(step, (Summary.Value(tag=name, simple_value=value) for name, value in values.items()))

    def add_scores(self, step: int, part: str, summary: dict[str, float]) -> None:
        """Adds the loss and the scores of an evaluation, and its epoch if it has one, to the curves `<part>/...`."""
        self.add(step, {f"{part}/{name}": summary[name] for name in (*CURVES, "epoch") if name in summary})

    def add_evaluation(self, step: int, summary: dict, shown: dict[str, Shown], read_cloud: CloudReader) -> None:
        """Adds an evaluation: its scores as `val/...`, and some of its mixtures under their names."""
        self.add_scores(step, "val", summary)
        for mixture, one in shown.items():
            self.add_separation(step, mixture, one, read_cloud)

    def add_options(self, options: dict[str, object], metrics: Iterable[str] = ()) -> None:
        """Adds the row of this folder to the table of hyperparameters.

        TensorBoard keeps the first row that it finds in a folder, and the columns of the first that names `metrics`,
        the curves whose last points stand in the table.
        """
        plain = {
            name: " ".join(map(str, value)) if isinstance(value, list) else value for name, value in options.items()
        }
        columns, row, _ = hparams(plain, dict.fromkeys(metrics))
        self._add(0, [*(columns.value if metrics else ()), *row.value])

    def add_separation(self, step: int, mixture: str, shown: Shown, read_cloud: CloudReader) -> None:
        """Adds what there is to hear and see of a mixture as `<mixture>/pred1` and so on, by the names of its files.

        What is the same at every step is only added at the mixture's first step.

        Args:
            read_cloud: path -> points `[P, 3]` in metres, colours `[P, 3]` in 0..1 or None.
        """
        if self._file:
            if mixture in self._complete:
                shown = shown.estimates()
            self._complete.add(mixture)
            self._add(step, separation_entries(mixture, shown, read_cloud))

    def _add(self, step: int, entries: Iterable[Summary.Value]) -> None:
        if self._file:
            self._write([Event(step=step, summary=Summary(value=entries))])

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


def separation_entries(mixture: str, shown: Shown, read_cloud: CloudReader) -> Iterator[Summary.Value]:
    """The sounds, pictures and clouds of one mixture as entries of a log; clouds of at most `MOST_POINTS` points."""
    for name, wave in shown.waves.items():
        sound = encode_wave(wave, shown.rate_hz)
        audio = Summary.Audio(
            sample_rate=shown.rate_hz,
            num_channels=1,
            length_frames=len(wave),
            encoded_audio_string=sound,
            content_type="audio/wav",
        )
        yield Summary.Value(tag=f"{mixture}/{name}", audio=audio)
    for name, pixels in shown.pictures.items():
        height, width, channels = pixels.shape
        encoded = encode_picture(pixels)
        image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=encoded)
        yield Summary.Value(tag=f"{mixture}/{name}", image=image)
    for name, path in shown.clouds.items():
        xyz, rgb = read_cloud(path)
        kept = np.linspace(0, len(xyz) - 1, min(len(xyz), MOST_POINTS)).astype(int)
        colours = None if rgb is None else np.rint(rgb[kept].clip(0, 1) * 255)[None]
        material = {"material": {"cls": "PointsMaterial", "size": POINT_SIZE_M}}
        yield from mesh(f"{mixture}/{name}", xyz[kept][None], colours, faces=None, config_dict=material).value
