"""Text files with one point a line (XYZ, XYZRGB, PTS), with any separator and order of columns -> points and
colours.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Sequence

import numpy as np

from dataset.points import RawCloud, whole_points
from dataset.tables import MOST_HEADER_BYTES, check_lines, is_number, parse_table
from utils.errors import InputError
from utils.files import read_bytes, words_of

BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
COMMENTS = (b"#", b"//")
COUNT = re.compile("[0-9]{1,18}")  # the number of points, on a line of its own
SAMPLED_LINES = 1000  # lines by which the separators are chosen
DECIMAL_COMMA = re.compile(rb"[-+]?\d*,\d+(?:[eE][-+]?\d+)?,?")  # a word of the lines where blanks separate
TITLES = {  # words of a title, in lower case -> what the columns are
    **{word: axis for axis in "xyz" for word in (axis, f"{axis}_coord", f"{axis}_coordinate", f"coord_{axis}")},
    **{
        word: name[0] for name in ("red", "green", "blue") for word in (name, name[0], f"{name[0]}f", f"diffuse_{name}")
    },
}
USUAL = {3: "x y z", 4: "x y z _", 5: "x y z _ _"}
MADE_SHARE = 0.02  # share of a column's variance that the colours it was made from leave unexplained
CLEARLY = 0.3  # between two correlations
UNIT_LENGTH = 0.02  # how far normals may be from length 1


def read_text(path: str, columns: Sequence[str] | None = None) -> RawCloud:
    """A text file with one point a line, in its own numbers.

    Args:
        columns: what the columns are: x y z, perhaps r g b, and any other word for each of the rest. None: as the
            file's title says; without a title x y z come first, the values decide on the rest, and the notes say what
            was assumed.

    Raises:
        InputError: the file is missing, truncated or of another kind, holds no points, or has other columns.
    """
    try:
        content = read_bytes(path)
        table, title, has_comma = _parse(_plain(content))
        names, note = _name_columns(table, title, columns, os.path.splitext(path)[1].lower())
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        raise InputError(f"{path}: cannot be read as a text point cloud ({words_of(error)})") from error
    place = {name: number for number, name in enumerate(names)}
    xyz = table[:, [place[axis] for axis in "xyz"]].T
    rgb = table[:, [place[channel] for channel in "rgb"]].T if "r" in place else None
    return whole_points(path, xyz, rgb, note, "commas taken as decimal points" if has_comma else "")


def check_columns(columns: Sequence[str]) -> None:
    """Raises InputError for `columns` that do not say where x y z are, or name only some of r g b."""
    counts = {name: list(columns).count(name) for name in "xyzrgb"}
    if any(counts[axis] != 1 for axis in "xyz") or len({counts[channel] for channel in "rgb"}) > 1 or counts["r"] > 1:
        raise InputError("--columns: expected x y z, once each, r g b once each or not at all, and _ for what is else")


def _plain(content: bytes) -> bytes:
    """The text in ASCII or UTF-8, with one sort of line ends and no byte order mark."""
    for mark, encoding in BOMS.items():
        if content.startswith(mark):
            content = content.removeprefix(mark).decode(encoding, "replace").encode()
    if not content.strip():
        raise ValueError("the file is empty")
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in content else content


def _parse(content: bytes) -> tuple[np.ndarray, list[str], bool]:
    """The numbers `[P, columns]`, the words of the title if there is one, and whether commas are decimal ones."""
    check_lines(content)
    start, number, title, count = _head(content)
    body = content[start:]
    body, has_comma = _separated_by_blanks(body)
    table = parse_table(body, first_line=number) if count is None else _scans(body, count, number)
    if not len(table):
        raise ValueError("it holds no points")
    return table, title, has_comma


def _head(content: bytes) -> tuple[int, int, list[str], int | None]:
    """Where the points begin (byte and line), the words of a title, and the number of points if the file states it."""
    start, title, is_titled, count = 0, [], False, None
    lines = content[:MOST_HEADER_BYTES].split(b"\n")
    for number, line in enumerate(lines, 1):
        words = _words(line)
        is_comment = line.strip().startswith(COMMENTS)
        if is_comment or (words and not is_titled and not any(map(_starts_as_number, words))):
            is_titled |= not is_comment
            title = words if {"x", "y", "z"} <= set(_meanings(words)) or not title else title
        elif len(words) == 1 and COUNT.fullmatch(words[0]) and count is None:
            count = int(words[0])
        elif words:
            return start, number, title, count
        start += len(line) + 1
    if len(content) > MOST_HEADER_BYTES:
        raise ValueError(f"no point in its first {number} lines")
    return start, number, title, count


def _words(line: bytes) -> list[str]:
    text = line.decode("utf-8", "replace").strip().lstrip("#/").replace('"', " ").replace("'", " ")
    return re.findall(r"[^\s,;]+", text)


def _starts_as_number(word: str) -> bool:
    """Whether a word is a number, or a damaged one; titles contain neither."""
    return is_number(word) and word.lower() not in ("nan", "inf", "infinity") or bool(re.match(r"[-+.]*\d", word))


def _meanings(words: list[str]) -> list[str]:
    """What the columns of a title are: x y z r g b, and _ for the rest."""
    plain = [re.sub(r"[\[(].*", "", word).strip().lower() for word in words]
    return [TITLES.get(word, "_") for word in plain]


def _separated_by_blanks(body: bytes) -> tuple[bytes, bool]:
    """The numbers with decimal points and blanks between them, and whether they had decimal commas."""
    sample = body.split(b"\n", SAMPLED_LINES)[:SAMPLED_LINES]
    lines = [line.partition(b"#")[0] for line in sample if line.strip()]
    if b"," not in body:
        return body.translate(bytes.maketrans(b";\t", b"  ")), False
    if any(b";" in line for line in lines):
        is_decimal = True
    else:
        words = [line.split() for line in lines]
        with_comma = [word for line in words for word in line if b"," in word.rstrip(b",")]
        is_decimal = (
            bool(with_comma) and all(map(DECIMAL_COMMA.fullmatch, with_comma)) and min(map(len, words), default=0) >= 3
        )
    if is_decimal:
        if any(b"." in line for line in lines):
            raise ValueError("its numbers have both points and commas: which of them is the decimal one?")
        plain = re.sub(rb",(?=[\s;]|$)", b" ", body)  # that follow a number with a decimal comma
        return plain.translate(bytes.maketrans(b",;\t", b".  ")), True
    if b"." not in body and any(re.search(rb",0\d", line) for line in lines):
        raise ValueError("commas stand both within and between its numbers; write decimal points")
    return body.translate(bytes.maketrans(b",;\t", b"   ")), False


def _scans(body: bytes, count: int, number: int) -> np.ndarray:
    """The points of one scan or more; each scan but the first follows a line with its number of points."""
    tables, lines = [], body.split(b"\n")
    while True:
        taken = end = 0
        while taken < count and end < len(lines):
            taken += bool(lines[end].strip())
            end += 1
        table = parse_table(b"\n".join(lines[:end]), tables[0].shape[1] if tables else None, first_line=number)
        if len(table) < count or (len(table) and table.shape[1] == 1):
            raise ValueError(f"{len(table)} points, but its first line states {count}; the file is truncated")
        tables += [table] if count else []
        lines, number = lines[end:], number + end
        skipped = next((k for k, line in enumerate(lines) if line.strip()), None)
        if skipped is None:
            return np.concatenate(tables) if tables else np.empty((0, 0))
        words = lines[skipped].split()
        if len(words) != 1 or not COUNT.fullmatch(words[0].decode("latin-1")):
            raise ValueError(f"more than the {count} points that the line above them states")
        count, lines, number = int(words[0]), lines[skipped + 1 :], number + skipped + 1


def _name_columns(
    table: np.ndarray, title: list[str], columns: Sequence[str] | None, ending: str
) -> tuple[Sequence[str], str]:
    """What each column is, and a note on what was assumed."""
    width = table.shape[1]
    if columns is not None:
        if len(columns) != width:
            raise ValueError(f"{width} columns, but --columns names {len(columns)}")
        return columns, ""
    if width < 3:
        raise ValueError(f"{width} column(s), expected x y z")
    names = _meanings(title)
    if len(names) == width and all(names.count(axis) == 1 for axis in "xyz"):
        has_colours = all(names.count(channel) == 1 for channel in "rgb")
        return [name if name in "xyz" or has_colours else "_" for name in names], ""
    names = _guess(table, ending)
    wrong = f", its title of {len(title)} words aside" if {"x", "y", "z"} <= set(names) & set(_meanings(title)) else ""
    note = f"{width} columns taken as {' '.join(names)}{wrong} (--columns settles it)"
    return names, "" if width == 3 and not wrong else note


def _guess(table: np.ndarray, ending: str) -> list[str]:
    """What the columns are, judged by their values; where two orders are as likely, the one that programs usually
    write.
    """
    width = table.shape[1]
    if width in USUAL:
        return USUAL[width].split()
    rows = table[np.isfinite(table).all(axis=1)]
    starts = [k for k in range(3, width - 2) if _are_bytes(rows[:, k : k + 3])]
    starts = starts or [k for k in range(3, width - 2) if _are_parts(rows[:, k : k + 3])]
    if width == 6 and ending == ".xyzrgb":
        starts = [3]
    elif starts == [3, 4]:
        starts = [4 if _is_first_odd(rows[:, 3:7], ending == ".pts") else 3]
    if not starts and _are_bytes(rows[:, :3]) and (rows[:, 3:6] != np.floor(rows[:, 3:6])).any():
        return [*"rgbxyz", *"_" * (width - 6)]
    names = [*"xyz", *"_" * (width - 3)]
    for start in starts[:1]:
        names[start : start + 3] = "rgb"
    return names


def _is_first_odd(columns: np.ndarray, otherwise: bool) -> bool:
    """Whether, of four columns `[P, 4]`, the first one is not a colour and the last one belongs with the middle ones.

    An alpha channel is the same everywhere; an intensity may be made from the colours; red, green and blue are bright
    in the same places. otherwise: the answer where none of this is conclusive.
    """
    if not np.ptp(columns[:, 3]) or not np.ptp(columns[:, 0]):
        return not np.ptp(columns[:, 0]) and bool(np.ptp(columns[:, 3]))
    first_is_made, last_is_made = (_is_made_of(columns[:, k], np.delete(columns, k, axis=1)) for k in (0, 3))
    if first_is_made != last_is_made:
        return first_is_made
    middle = columns[:, 1:3].mean(axis=1)
    if not np.ptp(middle):
        return otherwise
    first, last = (np.corrcoef(columns[:, k], middle)[0, 1] for k in (0, 3))
    return last > first if abs(last - first) > CLEARLY else otherwise


def _is_made_of(column: np.ndarray, others: np.ndarray) -> bool:
    """Whether a column `[P]` is a sum of the others `[P, 3]`, except for rounding and a little noise."""
    table = np.column_stack([others, np.ones(len(others))])
    rest = column - table @ np.linalg.lstsq(table, column, rcond=None)[0]
    return bool(rest.var() < MADE_SHARE * column.var())


def _are_bytes(columns: np.ndarray) -> bool:
    return bool(len(columns)) and columns.min() >= 0 and 1 < columns.max() <= 255 and (columns % 1 == 0).all()


def _are_parts(columns: np.ndarray) -> bool:
    """Whether columns `[P, 3]` are colours that are not whole numbers, in 0..1 or 0..255, and not normals."""
    if not len(columns) or columns.min() < 0 or columns.max() > 255:
        return False
    lengths = np.linalg.norm(columns, axis=1)
    return not (abs(lengths - 1) < UNIT_LENGTH).all()
