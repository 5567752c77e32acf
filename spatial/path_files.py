"""A listener's path in a CSV file."""

from __future__ import annotations

import csv
from pathlib import Path as FilePath

import numpy as np

from spatial.geometry import Listener, Path
from utils.errors import InputError
from utils.files import open_text, words_of

COLUMNS = ["seconds", "x", "y", "z", "facing"]


def read_listener(path: FilePath) -> Listener:
    """A listener who goes from place to place: rows of seconds, x, y, z in metres and facing in degrees, with a title.

    Raises:
        InputError: with the line of what is wrong.
    """
    rows: list[list[float]] = []
    try:
        with open_text(path) as file:
            reader = csv.reader(file, strict=True)
            if (title := next(reader, [])) != COLUMNS:
                raise InputError(f"{path}: line 1 is {','.join(title)!r}; expected {','.join(COLUMNS)}")
            for row in reader:
                try:
                    values = [float(cell) for cell in row]
                except ValueError:
                    values = []
                if len(values) != len(COLUMNS) or not np.isfinite(values).all():
                    raise InputError(f"{path}: line {reader.line_num}: expected five numbers, {','.join(COLUMNS)}")
                if rows and values[0] <= rows[-1][0]:
                    raise InputError(f"{path}: line {reader.line_num}: the times must ascend")
                rows.append(values)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({words_of(error)})") from error
    if not rows:
        raise InputError(f"{path}: no places in it")
    table = np.array(rows)
    return Listener(Path(table[:, 0], table[:, 1:4]), table[:, 4])
