"""What there is to separate: one recording, or many from a list or a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from utils.cells import rows_of
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
        origin: file and line of a job in a list.
    """

    mixture: Path
    output: Path
    points: tuple[str, ...] = ()
    scene: str = ""
    labels: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    origin: str = ""

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
            lines = [(number, line) for number, line in enumerate(file, 1) if line.strip(" \t\r\n,")]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({words_of(error)})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a CSV text file ({error})") from error
    titles = [title.lower() for title in _cells(path, *lines[0])] if lines else []
    if "mixture" not in titles or not set(titles) <= set(COLUMNS) or len(set(titles)) < len(titles):
        raise InputError(f"{path}: the first line is not a header of {','.join(COLUMNS)}; mixture is required")
    for number, line in lines[1:]:
        try:
            row = _cells(path, number, line)
            if len(row) != len(titles):
                raise InputError(f"{path}:{number}: {len(row)} cells in a table of {len(titles)} columns")
            yield _of_row(dict(zip(titles, row, strict=True)), common, f"{path}:{number}")
        except InputError as error:
            yield error


def _cells(path: Path, number: int, line: str) -> list[str]:
    """The cells of a line, which is a row of its own: a quotation mark that is not closed costs no other row."""
    return [cell.strip() for _, row in rows_of([line], path, number) for cell in row]


def _of_row(cells: dict[str, str], common: Job, origin: str) -> Job:
    """The job of a row: column -> cell; origin: file and line."""
    if not cells["mixture"]:
        raise InputError(f"{origin}: no mixture")
    for column, cell in cells.items():
        if "\0" in cell:
            raise InputError(f"{origin}: {column} holds a zero byte")
    told = [name for name in SEEN if cells.get(name)]
    if len(told) > 1:
        raise InputError(f"{origin}: {' and '.join(told)} are given; expected one of them")
    if not told and not any(common.seen):
        raise InputError(f"{origin}: none of {', '.join(SEEN)} is given, neither here nor as an option")
    mixture = Path(cells["mixture"])
    output = Path(cells["output"]) if cells.get("output") else common.output / mixture.stem
    job = replace(common, mixture=mixture, output=output, origin=origin)
    if told:
        points, labels = _parts(cells, "points"), _parts(cells, "labels")
        job = replace(job, points=points, scene=cells.get("scene", ""), labels=labels)
    return replace(job, names=_parts(cells, "names")) if cells.get("names") else job


def _parts(cells: dict[str, str], column: str) -> tuple[str, ...]:
    """What a cell holds, between semicolons."""
    return tuple(part.strip() for part in cells.get(column, "").split(BETWEEN) if part.strip())
