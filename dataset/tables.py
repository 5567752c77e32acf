"""Text with numbers in columns -> an array; what is wrong is told by line."""

from __future__ import annotations

import warnings
from io import BytesIO

import numpy as np


def parse_table(text: bytes, width: int | None = None, most: int | None = None, first_line: int = 1) -> np.ndarray:
    """Numbers `[rows, width]`, float64, separated by blanks; blank lines and `#` comments are passed over.

    Args:
        width: columns there must be; None: as many as the first line has.
        most: rows that are read, whatever follows them.
        first_line: the number of the text's first line, for messages.

    Raises:
        ValueError: a word is no number, or lines differ in length.
    """
    try:
        with warnings.catch_warnings():  # numpy's, of an empty text
            warnings.simplefilter("ignore")
            table = np.loadtxt(BytesIO(text), ndmin=2, max_rows=most)
    except ValueError as error:
        raise ValueError(_what_is_wrong(text, width, first_line) or "it is no table of numbers") from error
    if table.size and width is not None and table.shape[1] != width:
        raise ValueError(_what_is_wrong(text, width, first_line) or f"{table.shape[1]} columns, expected {width}")
    return table if table.size else np.empty((0, width or 0))


def is_number(word: bytes | str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _what_is_wrong(text: bytes, width: int | None, first_line: int) -> str:
    """Of the first line that is not like the others; '' if there is none."""
    for number, line in enumerate(text.split(b"\n"), first_line):
        words = line.partition(b"#")[0].split()
        if not words:
            continue
        wrong = next((word for word in words if not is_number(word)), None)
        if wrong is not None:
            return f"line {number}: {wrong[:20].decode('utf-8', 'replace')!r} is not a number"
        width = width or len(words)
        if len(words) != width:
            return f"line {number}: {len(words)} numbers, the number of columns is {width}; truncated or damaged"
    return ""
