"""PCD files -> points and colours.

open3d reads these too, but ends the whole process on some broken headers and fills truncated clouds with whatever lies
in memory.
"""

from __future__ import annotations

from codecs import BOM_UTF8

import numpy as np

from dataset.colours import find_colours
from dataset.points import RawCloud, find_axes, whole_points
from dataset.tables import MOST_HEADER_BYTES, parse_table
from utils.errors import InputError
from utils.files import read_bytes, words_of

KINDS = {"F": "f", "I": "i", "U": "u"}
SYNONYMS = {"COLUMNS": "FIELDS"}
MOST_GROWTH = 16  # times that compressed points may unpack to: those of cameras do to 2 or 3 times
SMALL_BYTES = 2**25  # any file may unpack to as much: grids of depth that miss nearly all points shrink much more


def read_pcd(path: str) -> RawCloud:
    """A PCD file in its own numbers and types: ASCII, binary or compressed binary.

    Raises:
        InputError: the file is missing, truncated or not PCD, or holds no points.
    """
    try:
        content = read_bytes(path)
        if not content[:MOST_HEADER_BYTES].strip():
            raise ValueError("the file is empty")
        with np.errstate(invalid="ignore"):  # of NaN in fields of whole numbers
            fields = _parse_pcd(content)
            xyz = np.stack(find_axes(fields))
            rgb, note = find_colours(fields)
    except (OSError, ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError) as error:
        raise InputError(f"{path}: cannot be read as a PCD point cloud ({words_of(error)})") from error
    return whole_points(path, xyz, rgb, note)


def _parse_pcd(content: bytes) -> dict[str, np.ndarray]:
    """The first value `[P]` of every field."""
    header, body = _split_pcd(content)
    names = header["FIELDS"]
    counts = [_whole(number) for number in header.get("COUNT", ["1"] * len(names))]
    if not len(names) == len(header["SIZE"]) == len(header["TYPE"]) == len(counts):
        raise ValueError("FIELDS, SIZE, TYPE and COUNT in its header differ in length")
    unknown = [kind for kind in header["TYPE"] if kind.upper() not in KINDS]
    if unknown:
        raise ValueError(f"unknown type {unknown[0]} in its header")
    kinds = ["<" + KINDS[kind.upper()] + size for kind, size in zip(header["TYPE"], header["SIZE"], strict=True)]
    parts = [(_type_of(kind), count) for kind, count in zip(kinds, counts, strict=True)]
    points = _whole(header["POINTS"][0])
    if points < 0 or min(counts) < 1:
        raise ValueError("a negative number of points or values in its header")
    encoding = header["DATA"][0].lower()
    if encoding == "ascii":
        columns = _ascii_columns(body, points, parts)
    elif encoding in ("binary", "binary_compressed"):
        columns = _binary_columns(body, points, parts, is_compressed=encoding != "binary")
    else:
        raise ValueError(f"unknown encoding {encoding}")
    return {name: column[:, 0] for name, column in zip(names, columns, strict=True)}


def _split_pcd(content: bytes) -> tuple[dict[str, list[str]], bytes]:
    """The words of each line of the header by the line's first word, and what follows the header."""
    header: dict[str, list[str]] = {}
    start = len(BOM_UTF8) if content.startswith(BOM_UTF8) else 0
    while "DATA" not in header:
        end = content.find(b"\n", start, MOST_HEADER_BYTES)
        if end < 0:
            raise ValueError("no header of a PCD file, of 1 MB at most")
        words = content[start:end].decode("latin-1").split() or ["#"]
        start = end + 1
        header[SYNONYMS.get(words[0].upper(), words[0].upper())] = words[1:]
    if "POINTS" not in header and header.get("WIDTH") and header.get("HEIGHT"):
        header["POINTS"] = [str(_whole(header["WIDTH"][0]) * _whole(header["HEIGHT"][0]))]
    missing = [name for name in ("FIELDS", "SIZE", "TYPE", "POINTS", "DATA") if not header.get(name)]
    if missing:
        raise ValueError(f"no {missing[0]} in its header")
    return header, content[start:]


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise ValueError(f"{word[:20]!r} in its header, expected a whole number") from None


def _type_of(kind: str) -> np.dtype:
    try:
        return np.dtype(kind)
    except TypeError:
        raise ValueError(f"a type of {kind[2:]} bytes in its header") from None


def _ascii_columns(body: bytes, points: int, parts: list[tuple[np.dtype, int]]) -> list[np.ndarray]:
    width = sum(count for _, count in parts)
    table = parse_table(body, width, most=points) if points else np.empty((0, width))
    if len(table) < points:
        raise ValueError(f"{table.shape} numbers, but its header states {(points, width)}; the file is truncated")
    ends = np.cumsum([count for _, count in parts])
    return [table[:, end - count : end].astype(kind) for end, (kind, count) in zip(ends, parts, strict=True)]


def _binary_columns(
    body: bytes, points: int, parts: list[tuple[np.dtype, int]], is_compressed: bool
) -> list[np.ndarray]:
    size = points * sum(kind.itemsize * count for kind, count in parts)
    if is_compressed:  # field by field, after the sizes of both forms
        packed, unpacked = np.frombuffer(body[:8], "<u4").tolist()
        if unpacked < size or len(body) < 8 + packed:
            raise ValueError("the file is truncated")
        if unpacked > max(SMALL_BYTES, MOST_GROWTH * packed):
            raise ValueError(f"its {packed} bytes claim to unpack to {unpacked}; save it as binary")
        body = _decompress(body[8 : 8 + packed], unpacked)
        columns, start = [], 0
        for kind, count in parts:
            columns.append(np.frombuffer(body, kind, points * count, start).reshape(points, count))
            start += columns[-1].nbytes
        return columns
    if len(body) < size:
        raise ValueError(f"{len(body)} bytes of points, but its header states {size}; the file is truncated")
    record = np.dtype([(str(n), kind, (count,)) for n, (kind, count) in enumerate(parts)])
    table = np.frombuffer(body, record, points)
    return [table[name] for name in record.names]


def _decompress(packed: bytes, size: int) -> bytearray:
    """Decompresses LZF.

    A byte below 32 is followed by that many bytes plus one, which are copied. A byte from 32 on says, together with the
    next one or two, how many earlier bytes to repeat and from how far back.
    """
    done, place = bytearray(), 0
    while place < len(packed) and len(done) <= size:
        control = packed[place]
        place += 1
        if control < 32:
            done += packed[place : place + control + 1]
            place += control + 1
            continue
        length = control >> 5
        if length == 7:
            length += packed[place]
            place += 1
        start = len(done) - ((control & 31) << 8) - packed[place] - 1
        place += 1
        if start < 0:
            raise ValueError("its compressed points are damaged")
        length += 2
        piece = done[start : start + length]  # shorter where it reaches into what it makes itself
        done += (piece * (length // len(piece) + 1))[:length]
    if len(done) != size:
        raise ValueError("its compressed points are damaged")
    return done
