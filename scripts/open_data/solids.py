"""Closed meshes of the primitives that instruments and furniture are made of; the same calls as `demo_data.shapes`.

Lengths in metres, everything in float64: the same mesh on every machine to far below a millimetre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from demo_data.shapes import Frame, unit

AROUND = 12  # corners of a tube's ring
ALONG, ACROSS = 40, 24  # cells of the front of a sound box


@dataclass(frozen=True)
class Solid:
    """A mesh: vertices [V,3] in metres, triangles [T,3] (int64), colours [V,3] in 0..1, and loss [V], the probability
    that a depth camera misses a thing as thin as this."""

    vertices: np.ndarray
    triangles: np.ndarray
    colours: np.ndarray
    loss: np.ndarray


def solid(vertices: np.ndarray, triangles: np.ndarray, colour: np.ndarray, loss: float = 0.0) -> Solid:
    """A mesh of one colour [3], or of one for every vertex [V,3]."""
    vertices = np.asarray(vertices, float)
    colours = np.broadcast_to(np.asarray(colour, float), vertices.shape)
    return Solid(vertices, np.asarray(triangles, np.int64), colours, np.full(len(vertices), float(loss)))


def merge(solids: Sequence[Solid]) -> Solid:
    """All meshes as one."""
    starts = np.cumsum([0, *(len(part.vertices) for part in solids)])
    return Solid(
        np.concatenate([part.vertices for part in solids]),
        np.concatenate([part.triangles + start for part, start in zip(solids, starts, strict=False)]),
        np.concatenate([part.colours for part in solids]),
        np.concatenate([part.loss for part in solids]),
    )


def moved(mesh: Solid, frame: Frame) -> Solid:
    """The mesh with its coordinates taken as those of a frame."""
    x, y, z = mesh.vertices.T
    vertices = frame.origin + x[:, None] * frame.axes[0] + y[:, None] * frame.axes[1] + z[:, None] * frame.axes[2]
    return Solid(vertices, mesh.triangles, mesh.colours, mesh.loss)


def tube(path: np.ndarray, radii: np.ndarray, colour: np.ndarray, side=(1.0, 0.0, 0.0), loss=0.0) -> Solid:
    """A tube swept along a polyline path [N,3], closed at both ends.

    radii [N], or [N,2] for ellipses whose first half-axis is as near to `side` [3] as the path allows.
    """
    path, radii = np.asarray(path, float), np.asarray(radii, float)
    radii = np.stack([radii, radii], axis=1) if radii.ndim == 1 else radii
    tangent = unit(np.gradient(path, axis=0))
    side = unit(np.asarray(side, float))
    side = np.where((np.abs(tangent @ side) > 0.98)[:, None], side[[2, 0, 1]], side)
    first = unit(side - (side * tangent).sum(axis=1, keepdims=True) * tangent)
    second = np.cross(first, tangent)
    angle = 2 * np.pi * np.arange(AROUND) / AROUND
    rings = (
        path[:, None]
        + (radii[:, :1] * np.cos(angle))[..., None] * first[:, None]
        + (radii[:, 1:] * np.sin(angle))[..., None] * second[:, None]
    )  # [N, AROUND, 3]
    vertices = np.concatenate([rings.reshape(-1, 3), path[[0, -1]]])
    triangles = [_grid(len(path), AROUND, closed=True)]
    ring, after = np.arange(AROUND), (np.arange(AROUND) + 1) % AROUND
    for hub, base in ((len(vertices) - 2, 0), (len(vertices) - 1, (len(path) - 1) * AROUND)):
        triangles.append(np.stack([np.full(AROUND, hub), base + ring, base + after], axis=1))
    return solid(vertices, np.concatenate(triangles), colour, loss)


def ellipsoid(centre: np.ndarray, radii: np.ndarray, colour: np.ndarray, axes=None, loss=0.0) -> Solid:
    """An ellipsoid with half-axes radii [3] along the rows of axes [3,3] (default: the world's)."""
    latitude = np.pi * np.arange(9) / 8
    longitude = 2 * np.pi * np.arange(AROUND) / AROUND
    ring = np.sin(latitude)[:, None]
    sphere = np.stack(
        [ring * np.cos(longitude), ring * np.sin(longitude), np.repeat(np.cos(latitude), AROUND).reshape(9, -1)]
    )
    local = sphere.reshape(3, -1).T * np.asarray(radii, float)
    mesh = solid(local, _grid(9, AROUND, closed=True), colour, loss)
    return moved(mesh, Frame(np.asarray(centre, float), np.eye(3) if axes is None else axes))


def box(frame: Frame, half_sizes: np.ndarray, colour: np.ndarray, loss=0.0) -> Solid:
    """A box around the frame's origin with half-sizes [3] along its axes."""
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * np.asarray(half_sizes, float)
    quads = [(0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)]
    triangles = [triangle for a, b, c, d in quads for triangle in ((a, b, c), (a, c, d))]
    return moved(solid(corners, triangles, colour, loss), frame)


def plate(
    frame: Frame,
    heights: np.ndarray,
    half_widths: np.ndarray,
    depth: float,
    arch: float,
    face_colour: np.ndarray,
    rib_colour: np.ndarray,
    holes: np.ndarray,
) -> Solid:
    """A sound box: an outline extruded backwards.

    The outline's half-width at heights [N] along the frame's y is half_widths [N]; the front lies at z = 0 and bulges
    by `arch` in the middle, the back at -depth. holes [H,4] are dark ellipses on the front: centre x, y, half-axes.
    """
    y = np.interp(np.linspace(0, 1, ALONG + 1), (heights - heights[0]) / (heights[-1] - heights[0]), heights)
    y = np.sort(np.concatenate([y, heights[1:-1]]))  # its corners too
    across = np.linspace(-1, 1, ACROSS + 1)
    x = across * np.interp(y, heights, half_widths)[:, None]  # [rows, ACROSS + 1]
    along = np.sin(np.pi * (y - heights[0]) / (heights[-1] - heights[0]))[:, None]
    z = arch * (1 - across**2) * along
    rows = np.broadcast_to(y[:, None], x.shape)
    centre_x, centre_y, width, height = holes.T[:, :, None, None]
    is_hole = (((x - centre_x) / width) ** 2 + ((rows - centre_y) / height) ** 2 < 1).any(axis=0)
    faces = [np.stack([x, rows, front], axis=-1).reshape(-1, 3) for front in (z, -depth - z)]
    grid, count = _grid(len(y), ACROSS + 1), len(faces[0])
    rim = np.arange(count).reshape(len(y), -1)
    loop = np.concatenate([rim[0], rim[1:-1, -1], rim[-1, ::-1], rim[-2:0:-1, 0]])
    after = np.roll(loop, -1)
    ribs = [np.stack([loop, after, after + count], axis=1), np.stack([loop, after + count, loop + count], axis=1)]
    ribs = np.concatenate(ribs)
    corners = np.concatenate(faces)[ribs].reshape(-1, 3)  # vertices of their own: another colour
    painted = np.where(is_hole.reshape(-1, 1), 0.05, face_colour)
    parts = [
        solid(faces[0], grid, painted),
        solid(faces[1], grid, rib_colour),
        solid(corners, np.arange(len(corners)).reshape(-1, 3), rib_colour),
    ]
    return moved(merge(parts), frame)


def _grid(rows: int, columns: int, closed: bool = False) -> np.ndarray:
    """Two triangles for each cell of a grid of vertices; `closed` joins the last column to the first."""
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij")
    a, b = row * columns + column, row * columns + (column + 1) % columns
    cells = [np.stack([a, b, b + columns], axis=-1), np.stack([a, b + columns, a + columns], axis=-1)]
    return np.concatenate([cell.reshape(-1, 3) for cell in cells])
