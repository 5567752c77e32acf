"""Names as cells of CSV files, written so that no spreadsheet takes them for formulas."""

from __future__ import annotations

import re

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
