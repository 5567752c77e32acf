"""What there is to separate: one recording, or many from a list or a folder."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from utils.errors import InputError
from utils.files import open_text, real_path, words_of

SEEN = ("points", "scene", "labels")  # columns that say who plays; a recording has one of them
COLUMNS = ("mixture", *SEEN, "names", "output")  # columns of a list
BETWEEN = ";"  # several clouds, labels or names in one cell


@dataclass(frozen=True)
class Job:
    """One recording to separate.

    Attributes:
        mixture: the recording. output: the folder for its stems.
        points: for each musician a cloud's file or a folder of frames. scene: a capture of all of them, or a folder of
            frames. labels: the instruments. One of the three is given.
        names: of the stems; empty: those of the clouds' files.
    """

    mixture: Path
    output: Path
    points: tuple[str, ...] = ()
    scene: str = ""
    labels: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def seen(self) -> tuple:
        """What tells who plays: the same for recordings of the same musicians."""
        return self.points, self.scene, self.labels


def batch_of(path: Path, common: Job) -> list[Job | InputError]:
    """The jobs of a list or of a folder of recordings; a wrong row gives its error instead.

    Args:
        path: a CSV file with a title line of COLUMNS, or a folder, which is searched for recordings at any depth.
        common: what a row does not say. Its `output` is the folder in which each recording gets one of its name.

    Raises:
        InputError: the list cannot be read or has other columns, or there is nothing in it; the output would be among
            the recordings of a folder.
    """
    jobs = list(_of_folder(path, common) if path.is_dir() else _of_list(path, common))
    if not jobs:
        raise InputError(f"{path}: no recordings in it")
    return jobs


def _of_folder(folder: Path, common: Job) -> Iterator[Job]:
    """Every file of the folder; folders within it are kept in the output.

    Hidden files are left out, and those who play, and what lies in the output.
    """
    if not any(common.seen):
        raise InputError(f"--batch {folder}: a folder of recordings needs --points, --scene or --labels")
    place, output = real_path(folder), real_path(common.output)
    if output == place:
        raise InputError(f"--output {common.output}: the folder of the recordings itself; choose another one")
    captures = [real_path(Path(name)) for name in (*common.points, common.scene) if name]
    for path in sorted(folder.rglob("*")):
        inner, real = path.relative_to(folder), real_path(path)
        is_hidden = any(part.startswith(".") for part in inner.parts)
        if is_hidden or (output.is_relative_to(place) and real.is_relative_to(output)):
            continue
        if path.is_file() and not any(real.is_relative_to(capture) for capture in captures):
            yield replace(common, mixture=path, output=common.output / inner.with_suffix(""))


def _of_list(path: Path, common: Job) -> Iterator[Job | InputError]:
    try:
        with open_text(path) as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({words_of(error)})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV text file ({error})") from error
    rows = [(number, row) for number, row in rows if any(row)]
    titles = [title.lower() for title in rows[0][1]] if rows else []
    if "mixture" not in titles or not set(titles) <= set(COLUMNS) or len(set(titles)) < len(titles):
        raise InputError(f"{path}: the first line is not a header of {','.join(COLUMNS)}; mixture is required")
    for number, row in rows[1:]:
        try:
            if len(row) != len(titles):
                raise InputError(f"{len(row)} cells in a table of {len(titles)} columns")
            yield _of_row(dict(zip(titles, row, strict=True)), common)
        except InputError as error:
            yield InputError(f"{path}:{number}: {error}")


def _of_row(cells: dict[str, str], common: Job) -> Job:
    """The job of a row: column -> cell."""
    if not cells["mixture"]:
        raise InputError("no mixture")
    for column, cell in cells.items():
        if "\0" in cell:
            raise InputError(f"{column} holds a zero byte")
    told = [name for name in SEEN if cells.get(name)]
    if len(told) > 1:
        raise InputError(f"{' and '.join(told)} are given; expected one of them")
    if not told and not any(common.seen):
        raise InputError(f"none of {', '.join(SEEN)} is given, neither here nor as an option")
    mixture = Path(cells["mixture"])
    output = Path(cells["output"]) if cells.get("output") else common.output / mixture.stem
    job = replace(common, mixture=mixture, output=output)
    if told:
        points, labels = _parts(cells, "points"), _parts(cells, "labels")
        job = replace(job, points=points, scene=cells.get("scene", ""), labels=labels)
    return replace(job, names=_parts(cells, "names")) if cells.get("names") else job


def _parts(cells: dict[str, str], column: str) -> tuple[str, ...]:
    """What a cell holds, between semicolons."""
    return tuple(part.strip() for part in cells.get(column, "").split(BETWEEN) if part.strip())
