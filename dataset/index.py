"""Index files: a row for every recording and the performer whose clouds go with it."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from utils.cells import rows_of
from utils.errors import InputError
from utils.files import fault_of_file, fault_of_folder, open_text, replacing, words_of

INSTRUMENT_ALIASES = {  # names of the reference's scripts, of MUSIC and of Solos
    "sax": "saxophone",
    "acoustic_guitar": "guitar",
    "double_bass": "doublebass",
}


@dataclass(frozen=True)
class IndexRow:
    """One row: a recording, a folder of point clouds `00000.ply ...` and how many there are.

    origin: the file and line the row was read from, for messages. named: the instrument, where a list names it.
    """

    audio_path: str
    frames_path: str
    num_frames: int
    origin: str = ""
    named: str = ""

    @property
    def instrument(self) -> str:
        """As the list names it, or else as the recording's folder does; `sax` in folders means `saxophone`,
        and so on.
        """
        return self.named or instrument_name(Path(self.audio_path).parent.name)

    def frame_path(self, frame: int) -> str:
        """Path of the point cloud of one frame."""
        return os.path.join(self.frames_path, f"{frame:05d}.ply")


def instrument_name(folder: str) -> str:
    """The instrument that a folder's name stands for."""
    return INSTRUMENT_ALIASES.get(folder.lower(), folder.lower())


def read_index(path: str | Path) -> list[IndexRow]:
    """Reads `AUDIO_PATH,FRAMES_PATH,NUMBER_FRAMES` rows and checks that their files are there.

    Relative paths count from the working directory. Blank lines, spaces around fields, quotes, a byte-order mark
    and any line ends are accepted.

    Raises:
        InputError: the file is missing, not text, or empty; a row has other columns, or names a recording that
            does not exist or more frames than its folder holds. The message names file and line.
    """
    rows = []
    for row in parse_index(path):
        if isinstance(row, InputError):
            raise row
        _check_files(row)
        rows.append(row)
    return rows


def parse_index(path: str | Path) -> list[IndexRow | InputError]:
    """One IndexRow per line, or the InputError for a malformed one; looks at no other file.

    Raises:
        InputError: the file is missing, not text, or empty.
    """
    try:
        with open_text(path) as file:
            lines = list(rows_of(file, path))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({words_of(error)}); scripts/create_index_files.py makes index files"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a CSV text file ({error})") from error
    rows = [
        _parse_row([field.strip() for field in fields], f"{path}:{number}")
        for number, fields in lines
        if any(field.strip() for field in fields)
    ]
    if not rows:
        raise InputError(f"{path}: the list is empty; scripts/create_index_files.py makes index files")
    return rows


def _parse_row(fields: list[str], origin: str) -> IndexRow | InputError:
    if len(fields) != 3:
        return InputError(f"{origin}: expected AUDIO_PATH,FRAMES_PATH,NUMBER_FRAMES, found {len(fields)} column(s)")
    audio_path, frames_path, count = fields
    if not re.fullmatch("[0-9]{1,9}", count) or int(count) < 1:
        shown = count if len(count) <= 20 else f"{count[:20]}..."
        return InputError(f"{origin}: the number of frames is {shown!r}, expected a whole number of 1 or more")
    row = IndexRow(audio_path, frames_path, int(count), origin)
    if not row.instrument:
        return InputError(f"{origin}: recording {audio_path} lies in no folder; its folder's name is the instrument")
    return row


def _check_files(row: IndexRow) -> None:
    counted = "paths count from the working directory"
    last = row.frame_path(row.num_frames - 1)
    if fault := fault_of_file(row.audio_path):
        raise InputError(f"{row.origin}: recording {row.audio_path} {_told(fault, counted)}")
    if fault := fault_of_folder(row.frames_path):
        raise InputError(f"{row.origin}: folder {row.frames_path} {_told(fault, counted)}")
    if fault := fault_of_file(last):
        again = "make the index files again with scripts/create_index_files.py"
        raise InputError(f"{row.origin}: says {row.num_frames} frames, but {last} {_told(fault, again)}")


def _told(fault: str, advice: str) -> str:
    """What is wrong with a path, with the advice if nothing is there."""
    return f"does not exist ({advice})" if fault.startswith("no such") else f"cannot be read ({fault})"


def write_index(path: str | Path, rows: Iterable[IndexRow]) -> None:
    """Writes an index file, completely or not at all."""
    write_indexes({path: rows})


def write_indexes(lists: Mapping[str | Path, Iterable[IndexRow]]) -> None:
    """Writes index files that belong together: all of them, or none, for example when the disk is full."""
    with ExitStack() as stack:
        for path, rows in lists.items():
            temporary = stack.enter_context(replacing(path))
            with open(temporary, "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerows([row.audio_path, row.frames_path, row.num_frames] for row in rows)
                file.flush()
                os.fsync(file.fileno())  # what may fail has been done before the first is renamed
