"""Cloud files other than PLY: PCD, and text with a point a line (XYZ, XYZRGB, PTS) -> points and colours.

open3d reads these too, but ends the whole process on some broken headers and fills truncated clouds with whatever lies
in memory.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from io import BytesIO

import numpy as np

from utils.errors import InputError

Points = tuple[np.ndarray, np.ndarray | None]
SEPARATORS = bytes.maketrans(b",;\t", b"   ")
PCD_KINDS = {"F": "f", "I": "i", "U": "u"}


def read_pcd(path: str) -> Points:
    """Points `[P, 3]` and colours `[P, 3]` in 0..1 (None if there are none) of a PCD file, float32.

    ASCII, binary and compressed binary files; the colours are those of a field `rgb` or `rgba`. Points with NaN or
    infinite values are left out.

    Raises:
        InputError: the file is missing, truncated or not PCD, or holds no points.
    """
    return _read(path, "PCD", _parse_pcd)


def read_text(path: str) -> Points:
    """Points `[P, 3]` and colours `[P, 3]` (None if there are none) of a text file with a point a line, float32.

    Columns are x y z, then nothing, an intensity, r g b, or an intensity and r g b; a title or, as in PTS, the number
    of points may stand above. Colours have the numbers of the file; three further columns with negative numbers are
    normals. Points with NaN or infinite values are left out.

    Raises:
        InputError: the file is missing, truncated or anything else, or holds no points.
    """
    return _read(path, "text", _parse_text)


def _read(path: str, kind: str, parse: Callable[[bytes], Points]) -> Points:
    try:
        with open(path, "rb") as file:
            content = file.read()
        if not content.strip():
            raise ValueError("the file is empty")
        with np.errstate(invalid="ignore"):  # of NaN in fields of whole numbers
            xyz, rgb = parse(content)
    except (OSError, ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError) as error:
        reason = "no such file" if not os.path.isfile(path) else " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read as a {kind} point cloud ({reason})") from error
    with np.errstate(over="ignore"):
        xyz = xyz.astype(np.float32)
    finite = np.isfinite(xyz).all(axis=1)
    if rgb is not None:
        finite &= np.isfinite(rgb).all(axis=1)
    if not finite.any():
        raise InputError(f"{path}: the cloud holds no points")
    return xyz[finite], None if rgb is None else rgb[finite].astype(np.float32)


def _parse_text(content: bytes) -> Points:
    content = content.translate(SEPARATORS)
    title = content.lstrip().partition(b"\n")[0].split()
    count = int(title[0]) if len(title) == 1 and title[0].isdigit() else None
    table = _parse_table(content, skip_title=count is not None or not _is_number(title[0]))
    if count is not None and len(table) != count:
        raise ValueError(f"{len(table)} points, but its first line tells of {count}; the file is truncated")
    columns = table.shape[1]
    if columns < 3:
        raise ValueError(f"{columns} column(s), expected x y z")
    rgb = {6: table[:, 3:], 7: table[:, 4:]}.get(columns)
    if rgb is not None and (rgb < 0).any():
        rgb = None
    return table[:, :3], rgb


def _parse_table(content: bytes, skip_title: bool = False) -> np.ndarray:
    """Numbers `[P, columns]`, float64."""
    lines = BytesIO(content.lstrip())
    if skip_title:
        lines.readline()
    with warnings.catch_warnings():  # numpy's, of what is an error here
        warnings.simplefilter("ignore")
        table = np.loadtxt(lines, ndmin=2)
    if not table.size:
        raise ValueError("it holds no points")
    return table


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _parse_pcd(content: bytes) -> Points:
    header, body = _split_pcd(content)
    counts = [int(number) for number in header.get("COUNT", ["1"] * len(header["FIELDS"]))]
    kinds = ["<" + PCD_KINDS[kind] + size for kind, size in zip(header["TYPE"], header["SIZE"], strict=True)]
    parts = [(np.dtype(kind), count) for kind, count in zip(kinds, counts, strict=True)]
    points = int(header["POINTS"][0])
    if points < 0 or min(counts) < 1:
        raise ValueError("a negative number of points or values in its header")
    encoding = header["DATA"][0]
    if encoding == "ascii":
        columns = _ascii_columns(body, points, parts)
    elif encoding in ("binary", "binary_compressed"):
        columns = _binary_columns(body, points, parts, is_compressed=encoding != "binary")
    else:
        raise ValueError(f"unknown encoding {encoding}")
    fields = dict(zip(header["FIELDS"], columns, strict=True))
    xyz = np.stack([fields[axis][:, 0] for axis in "xyz"], axis=1)
    packed = fields.get("rgb", fields.get("rgba"))
    if packed is None:
        return xyz, None
    if packed.dtype.itemsize != 4:
        raise ValueError(f"colours of {packed.dtype.itemsize} bytes, expected 4")
    packed = np.ascontiguousarray(packed[:, 0]).view("<u4")
    return xyz, np.stack([packed >> shift & 255 for shift in (16, 8, 0)], axis=1) / np.float32(255)


def _split_pcd(content: bytes) -> tuple[dict[str, list[str]], bytes]:
    """The words of each line of the header by the line's first word, and what follows the header."""
    header: dict[str, list[str]] = {}
    while "DATA" not in header:
        line, newline, content = content.partition(b"\n")
        if not newline:
            raise ValueError("no header of a PCD file")
        words = line.decode("ascii").split() or ["#"]
        header[words[0]] = words[1:]
    missing = [name for name in ("FIELDS", "SIZE", "TYPE", "POINTS") if not header.get(name)]
    if missing:
        raise ValueError(f"no {missing[0]} in its header")
    return header, content


def _ascii_columns(body: bytes, points: int, parts: list[tuple[np.dtype, int]]) -> list[np.ndarray]:
    table = _parse_table(body)[:points]
    width = sum(count for _, count in parts)
    if len(table) < points or table.shape[1] != width:
        raise ValueError(f"{table.shape} numbers, but its header tells of {(points, width)}; the file is truncated")
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
        body = _decompress(body[8 : 8 + packed], unpacked)
        columns, start = [], 0
        for kind, count in parts:
            columns.append(np.frombuffer(body, kind, points * count, start).reshape(points, count))
            start += columns[-1].nbytes
        return columns
    if len(body) < size:
        raise ValueError(f"{len(body)} bytes of points, but its header tells of {size}; the file is truncated")
    record = np.dtype([(str(n), kind, (count,)) for n, (kind, count) in enumerate(parts)])
    table = np.frombuffer(body, record, points)
    return [table[name] for name in record.names]


def _decompress(packed: bytes, size: int) -> bytes:
    """LZF: a byte below 32 is followed by that many bytes and one more as they are; from 32 on, it and the next one or
    two tell how much to repeat of what came before, and from how far back."""
    done, place = bytearray(), 0
    while place < len(packed):
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
    return bytes(done)
