"""OFF meshes, as ModelNet40 has them -> points on their surface."""

from __future__ import annotations

import re

import numpy as np

from dataset.tables import MOST_HEADER_BYTES, check_lines
from utils.errors import InputError
from utils.files import read_bytes, words_of
from utils.seeding import generator

SURFACE_POINTS = 2**14  # kept of a mesh, of which a sample takes some
MOST_WIDTH_M = 3.0  # largest width of a mesh scaled to a height of 1 m
HEADER = re.compile(  # some files have no space after OFF
    rb"\s*(?P<kind>(?:ST)?C?N?OFF)\s*(?P<counts>(?:-?\d{1,99}\s+){2}-?\d{1,99})(?=\s|$)"
)
MOST_COLUMNS = 12  # most numbers of a vertex: its place, normal, colour and texture
COMMENT = re.compile(rb"#[^\r\n]*")
SPACES = np.isin(np.arange(256), list(b" \t\n\v\f\r"))


def read_surface(path: str) -> np.ndarray:
    """`SURFACE_POINTS` points `[P, 3]`, float32, on an OFF mesh that was made `upright`; always the same for one file.

    Raises:
        InputError: as `read_off`, or a mesh without a surface.
    """
    vertices, triangles = read_off(path)
    try:
        return sample_surface(upright(vertices[triangles]), SURFACE_POINTS, generator(0)).astype(np.float32)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_off(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Vertices `[V, 3]`, float64, and triangles `[F, 3]`, which hold the numbers of their vertices.

    The file is ASCII with one face a line. Other properties of vertices (colours in COFF, normals in NOFF, ...) are
    ignored. Faces of more than three corners become fans of triangles; those of fewer corners are left out, and so is
    anything after the corners (colours).

    Raises:
        InputError: the file is missing, truncated or not OFF, or holds no faces or impossible numbers.
    """
    try:
        return _parse(read_bytes(path))
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        raise InputError(f"{path}: cannot be read as an OFF mesh ({words_of(error)})") from error


def upright(corners: np.ndarray) -> np.ndarray:
    """Corners of triangles `[F, 3, 3]`, Z up and in any unit -> the same in metres, Y up, as musicians' clouds are.

    The mesh stands on the floor, y = 0, centred in x and z, and is 1 m high. A mesh that would then be wider than
    `MOST_WIDTH_M`, such as a keyboard, gets that width instead: its points would otherwise be too far apart for a
    surface.

    Raises:
        InputError: the mesh has no extent, or an infinite one.
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # what comes of it is refused
        x, y, z = np.moveaxis(corners, -1, 0)
        turned = np.stack([x, z, -y], axis=-1)
        low, high = turned.min(axis=(0, 1)), turned.max(axis=(0, 1))
        width, height, depth = high - low
        scale = min(1 / height, MOST_WIDTH_M / max(width, depth))
        placed = (turned - [(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2]) * scale
    if not (scale > 0 and np.isfinite(placed).all()):
        raise InputError(f"a mesh of {width:.3g} x {depth:.3g} x {height:.3g} cannot be made 1 m high")
    return placed


def sample_surface(corners: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Points `[P, 3]`, uniform over the area of triangles `[F, 3, 3]`.

    Raises:
        InputError: the triangles have no area.
    """
    first, second, third = np.moveaxis(corners, 1, 0)  # [F, 3] each
    doubled_area = np.linalg.norm(np.cross(second - first, third - first), axis=1)
    reach = np.cumsum(doubled_area)
    if not reach[-1] > 0:
        raise InputError("the mesh has no area")
    chosen = np.searchsorted(reach, rng.random(count) * reach[-1], side="right").clip(max=len(reach) - 1)
    u, v = rng.random((2, count, 1))
    beyond = u + v > 1  # in the other half of the parallelogram: turned into the triangle
    u, v = np.where(beyond, 1 - u, u), np.where(beyond, 1 - v, v)
    first, second, third = first[chosen], second[chosen], third[chosen]
    return first + u * (second - first) + v * (third - first)


def _parse(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    if b"#" in content:
        content = COMMENT.sub(b"", content)
    check_lines(content)
    header = HEADER.match(content, 0, MOST_HEADER_BYTES)
    if not header:
        raise ValueError(
            "its header is not OFF and three numbers" if content[:MOST_HEADER_BYTES].strip() else "the file is empty"
        )
    num_vertices, num_faces, _ = map(int, header["counts"].split())
    if num_vertices < 1 or num_faces < 1:
        raise ValueError(f"{num_vertices} vertices and {num_faces} faces")
    body = content[header.end() :]
    numbers = np.fromstring(body, sep=" ")  # the fastest that NumPy has for text
    columns = _columns_of(body, is_plain=header["kind"] == b"OFF")
    if len(numbers) < columns * num_vertices + num_faces:
        raise ValueError(f"{len(numbers)} numbers for {num_vertices} vertices and {num_faces} faces; it is truncated")
    vertices = numbers[: columns * num_vertices].reshape(-1, columns)[:, :3]
    if not np.isfinite(vertices).all():
        raise ValueError("a vertex is NaN or infinite")
    corners = numbers[columns * num_vertices :]
    size = int(corners[0]) if corners[0] >= 0 and np.isfinite(corners[0]) else 0
    if len(corners) == num_faces * (size + 1) and (corners[:: size + 1] == size).all():  # as nearly all files are
        triangles = _fans(corners.reshape(num_faces, -1)[:, 1:])
    else:
        starts = _line_starts(body)
        starts = starts[starts >= columns * num_vertices] - columns * num_vertices
        triangles = _triangulate(corners, starts, num_faces)
    if not len(triangles):
        raise ValueError("no face has three corners")
    if not ((triangles >= 0) & (triangles < num_vertices) & (triangles == np.floor(triangles))).all():
        raise ValueError(f"a face has corners that are none of its {num_vertices} vertices")
    return vertices, triangles.astype(np.int64)


def _columns_of(body: bytes, is_plain: bool) -> int:
    """How many numbers a vertex has: those on the first line with any, but 3 where a file of plain vertices has few
    lines.
    """
    first = len(body.lstrip().partition(b"\n")[0].split())
    if is_plain and first not in (6, 7):  # some have colours without saying so
        return 3
    if not 3 <= first <= MOST_COLUMNS:
        raise ValueError(f"{first} numbers on the line of its first vertex")
    return first


def _line_starts(text: bytes) -> np.ndarray:
    """Which numbers of a text are the first on their line."""
    letters = np.frombuffer(text, np.uint8)
    is_space = SPACES[letters]
    words = np.flatnonzero(~is_space & np.append(True, is_space[:-1]))  # where they begin
    lines = np.flatnonzero((letters == ord("\n")) | (letters == ord("\r")))
    line_of_word = np.searchsorted(lines, words)
    return np.flatnonzero(np.diff(line_of_word, prepend=-1))


def _triangulate(numbers: np.ndarray, starts: np.ndarray, num_faces: int) -> np.ndarray:
    """Faces of any number of corners, each a line that begins at one of `starts` -> triangles `[F, 3]`."""
    if len(starts) < num_faces:
        raise ValueError(f"{len(starts)} of {num_faces} faces; it is truncated")
    ends = np.append(starts, len(numbers))[1 : num_faces + 1]
    starts = starts[:num_faces]
    sizes = numbers[starts]
    if not ((sizes >= 0) & (sizes == np.floor(sizes)) & (starts + sizes < ends)).all():
        raise ValueError("a face has fewer or more corners than its line states; it is damaged or truncated")
    fans = [np.empty((0, 3))]
    for size in np.unique(sizes).astype(int):
        fans.append(_fans(numbers[starts[sizes == size][:, None] + 1 + np.arange(size)]))
    return np.concatenate(fans)


def _fans(faces: np.ndarray) -> np.ndarray:
    """Faces `[F, n]` of n corners -> the n - 2 triangles of each, `[F * (n - 2), 3]`."""
    size = faces.shape[1]
    if size < 3:
        return np.empty((0, 3))
    k = np.arange(1, size - 1)
    return faces[:, np.stack([np.zeros_like(k), k, k + 1], axis=1)].reshape(-1, 3)
