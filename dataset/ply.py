"""PLY files -> their vertices. Headers may be of any kind; nothing but the vertices is read."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from plyfile import PlyData

from dataset.tables import MOST_HEADER_BYTES, parse_table
from utils.files import read_bytes

TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"int64": "i8", "uint64": "u8", "long": "i8", "ulong": "u8"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}
ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
END = re.compile(rb"(?:\r\n|\n|\r)[ \t]*end_header[ \t]*(?P<newline>\r\n|\n|\r|$)")
NEWLINE = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class Element:
    """A kind of record in a PLY file. properties: name and NumPy type of each; no type: a list, of any length."""

    name: str
    count: int
    properties: list[tuple[str, str]]

    @property
    def dtype(self) -> np.dtype | None:
        """Of a record, None if it has a list."""
        return np.dtype(self.properties) if all(kind for _, kind in self.properties) else None


@dataclass(frozen=True)
class Header:
    """encoding: of `ORDERS`. body: where in the file the records begin. has_returns: lines end in carriage returns."""

    encoding: str
    elements: list[Element]
    body: int
    has_returns: bool


def read_vertices(path: str) -> np.ndarray:
    """The vertices of a PLY file, a structured array `[P]`; what follows them may be damaged.

    Raises:
        OSError, ValueError: the file cannot be read, or is not PLY, truncated or damaged.
    """
    content = read_bytes(path)
    header = parse_header(content)
    names = [element.name for element in header.elements]
    if "vertex" not in names:
        raise ValueError(f"no vertices; it holds {', '.join(names) or 'nothing'}")
    place = names.index("vertex")
    before, vertex = header.elements[:place], header.elements[place]
    if not vertex.properties:
        raise ValueError("its vertices have no properties")
    if vertex.dtype is None or (header.encoding != "ascii" and any(element.dtype is None for element in before)):
        _check_counts(header, len(content) - header.body)
        return np.asarray(PlyData.read(path, mmap="c")["vertex"].data)  # rare: lists among or before the vertices
    if header.encoding == "ascii":
        return _ascii_vertices(content, header, sum(element.count for element in before), vertex)
    start = header.body + sum(element.count * element.dtype.itemsize for element in before)
    there = max(0, len(content) - start) // vertex.dtype.itemsize
    if there < vertex.count:
        raise ValueError(f"early end-of-file: {there} of {vertex.count} points, the file is truncated")
    return np.frombuffer(content, vertex.dtype, vertex.count, start)


def parse_header(content: bytes) -> Header:
    """The header of a PLY file; raises ValueError if there is none."""
    end = END.search(content, 0, MOST_HEADER_BYTES)
    if not content.removeprefix(b"\xef\xbb\xbf").startswith(b"ply") or not end:
        raise ValueError(
            "no header of a PLY file, of 1 MB at most" if content[:MOST_HEADER_BYTES].strip() else "the file is empty"
        )
    head = content[: end.start()].decode("latin-1")
    encoding, elements = "", []
    for line in NEWLINE.split(head)[1:]:
        match line.split():
            case [] | ["comment" | "obj_info", *_]:
                pass
            case ["format", encoding, *_] if encoding in ORDERS:
                pass
            case ["element", name, count] if re.fullmatch("[0-9]{1,18}", count):
                elements.append(Element(name, int(count), []))
            case ["property", "list", _, _, name] if elements:
                elements[-1].properties.append((name, ""))
            case ["property", kind, name] if elements and kind in TYPES:
                elements[-1].properties.append((name, ORDERS[encoding or "ascii"] + TYPES[kind]))
            case _:
                raise ValueError(f"its header has the line {line.strip()[:60]!r}")
    if not encoding:
        raise ValueError("its header names no format")
    for element in elements:
        names = [name for name, _ in element.properties]
        if len(set(names)) < len(names):
            raise ValueError(f"its header has a property of {element.name} twice")
    has_returns = "\r" in head and "\n" not in head
    body = end.start("newline") + 1 if has_returns else end.end()
    return Header(encoding, elements, body, has_returns)


def vertex_fields(path: str) -> list[str]:
    """The names of the vertices' properties, for a message; raises as `read_vertices`."""
    header = parse_header(read_bytes(path))
    return [name for element in header.elements if element.name == "vertex" for name, _ in element.properties]


def _check_counts(header: Header, size: int) -> None:
    """Raises ValueError for more records than `size` bytes can hold, at one byte or more each."""
    for element in header.elements:
        least = sum(np.dtype(kind or "u1").itemsize for _, kind in element.properties)
        if element.count * max(1, least if header.encoding != "ascii" else len(element.properties)) > size:
            raise ValueError(f"early end-of-file: {element.count} of {element.name}, the file is truncated")


def _ascii_vertices(content: bytes, header: Header, skipped: int, vertex: Element) -> np.ndarray:
    """The vertices that follow the given number of other records, each on a line."""
    body = content[header.body :]
    body = body.replace(b"\r", b"\n") if header.has_returns else body
    if skipped:
        body = b"\n".join([line for line in body.split(b"\n") if line.strip()][skipped:])
    width = len(vertex.properties)
    table = parse_table(body, width, most=vertex.count) if vertex.count else np.empty((0, width))
    if len(table) < vertex.count:
        raise ValueError(f"early end-of-file: {len(table)} of {vertex.count} points, the file is truncated")
    vertices = np.empty(vertex.count, vertex.dtype)
    for column, (name, kind) in zip(table.T, vertex.properties, strict=True):
        if vertices[name].dtype.kind in "iu":
            limits = np.iinfo(vertices[name].dtype)
            wrong = ~((column >= limits.min) & (column <= limits.max) & (column == np.floor(column)))
            if wrong.any():
                raise ValueError(f"{name} is {column[wrong][0]:g}, which its type {kind[1:]} cannot be")
        vertices[name] = column
    return vertices
