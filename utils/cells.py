"""CSV files: their rows, and names as cells, written so that no spreadsheet takes them for formulas."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator

from utils.errors import InputError

# What a spreadsheet runs, behind any apostrophes that are the name's own; the wide signs in East Asian settings.
FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001


def as_cell(value: object) -> object:
    """The value to write: a name that looks like a formula gets an apostrophe in front, which marks text in
    spreadsheets.
    """
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def from_cell(text: str) -> str:
    """The name that `as_cell` was given; any other text is returned as it is."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def names_of(row: dict) -> dict:
    """A row as read by `csv.DictReader`, with the names that `as_cell` wrote."""
    return {column: from_cell(value) if isinstance(value, str) else value for column, value in row.items()}


def rows_of(lines: Iterable[str], path: object, first: int = 1) -> Iterator[tuple[int, list[str]]]:
    """Rows of a CSV file, each with the number of the line where it begins.

    Args:
        path: for messages. first: the number of the first line.

    Raises:
        InputError: a quotation mark is not closed, or followed by what cannot be there; it names file and line.
    """
    reader = csv.reader(lines, strict=True)
    while True:
        number = first + reader.line_num
        try:
            row = next(reader, None)
        except csv.Error as error:
            told = str(error).replace("unexpected end of data", "a quotation mark is not closed")
            raise InputError(f"{path}:{number}: not a row of a CSV file ({told})") from error
        if row is None:
            return
        yield number, row
