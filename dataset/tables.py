"""Text with numbers in columns -> an array; errors name the line."""

from __future__ import annotations

import warnings
from io import BytesIO

import numpy as np

MOST_HEADER_BYTES = 2**20  # a file whose header has no end by then is no cloud, or would take long to read
MOST_LINE_BYTES = 2**20  # longest line of numbers in columns


def parse_table(text: bytes, width: int | None = None, most: int | None = None, first_line: int = 1) -> np.ndarray:
    """Numbers `[rows, width]`, float64, separated by blanks; blank lines and `#` comments are skipped.

    Args:
        width: how many columns there must be; None: as many as the first line has.
        most: how many rows are read; any others are ignored.
        first_line: the number of the text's first line, for messages.

    Raises:
        ValueError: a word is not a number, or lines differ in length or are too long.
    """
    check_lines(text, first_line, most)
    try:
        with warnings.catch_warnings():  # numpy's, of an empty text
            warnings.simplefilter("ignore")
            table = np.loadtxt(BytesIO(text), ndmin=2, max_rows=None if most is None else min(most, len(text)))
    except ValueError as error:
        raise ValueError(_what_is_wrong(text, width, first_line) or "it is no table of numbers") from error
    if table.size and width is not None and table.shape[1] != width:
        raise ValueError(_what_is_wrong(text, width, first_line) or f"{table.shape[1]} columns, expected {width}")
    return table if table.size else np.empty((0, width or 0))


def check_lines(text: bytes, first_line: int = 1, most: int | None = None) -> None:
    """Raises ValueError for a text with a line too long for numbers in columns, which would take long to read.

    most: lines that are looked at; `first_line` is the number of the first.
    """
    start, passed = 0, 0
    while len(text) - start > MOST_LINE_BYTES and (most is None or passed < most):
        ends = (text.rfind(end, start, start + MOST_LINE_BYTES + 1) for end in (b"\n", b"\r"))
        end = max(ends)  # of the last line that ends within reach
        if end < 0:
            raise ValueError(f"line {first_line + passed} has more than {MOST_LINE_BYTES} bytes, too many for numbers")
        passed += text.count(b"\n", start, end + 1)
        start = end + 1


def is_number(word: bytes | str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _what_is_wrong(text: bytes, width: int | None, first_line: int) -> str:
    """A message about the first line that differs from the others; '' if there is none."""
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
