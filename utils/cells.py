"""Names as cells of CSV files: data, which no spreadsheet takes for a formula."""

from __future__ import annotations

import re

# What a spreadsheet runs, behind any apostrophes that are the name's own; the wide signs in East Asian settings.
FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001


def as_cell(value: object) -> object:
    """A value to write: a name that looks like a formula gets an apostrophe before it, the sign of text there."""
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def from_cell(text: str) -> str:
    """The name that `as_cell` wrote; any other text stays as it is."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def names_of(row: dict) -> dict:
    """A row as read by `csv.DictReader`, with the names that `as_cell` wrote."""
    return {column: from_cell(value) if isinstance(value, str) else value for column, value in row.items()}
