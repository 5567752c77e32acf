"""Surface samples of the primitives that bodies and instruments are made of. Lengths in metres."""

from dataclasses import dataclass

import numpy as np

SAMPLES_PER_M2 = 18_000.0  # two to three samples a camera pixel, so that fronts hide what is behind them
# Roberts' R2 sequence (powers of the plastic number's inverse) fills the unit square more evenly than chance.
_R2 = (np.arange(1, 2**16)[:, None] * np.array([0.7548776662466927, 0.5698402909980532])) % 1.0
_R2 = np.ascontiguousarray(_R2.T.astype(np.float32))


@dataclass(frozen=True)
class Surface:
    """Samples of one surface, float32, an axis or a colour channel a row: long rows are what numpy is fast at.

    points and normals (unit, outward) [3,P] in metres, colours [3,P] in 0..1, and loss [P]: the probability that a
    depth camera misses the sample, which is high for things as thin as a bow.
    """

    points: np.ndarray
    normals: np.ndarray
    colours: np.ndarray
    loss: np.ndarray


@dataclass(frozen=True)
class Frame:
    """A right-handed local frame: origin [3] in metres; the rows of axes [3,3] are its unit x, y and z."""

    origin: np.ndarray
    axes: np.ndarray

    def at(self, x: float, y: float, z: float) -> np.ndarray:
        """Local metres -> the position [3] in the outer frame."""
        return self.origin + x * self.axes[0] + y * self.axes[1] + z * self.axes[2]


def unit(vector: np.ndarray) -> np.ndarray:
    """[..., 3] -> the same directions at length one."""
    return vector / np.sqrt(np.einsum("...i,...i->...", vector, vector))[..., None]


def rotate(vectors: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Local vectors [3,P] -> the outer frame, as float32; the rows of axes [3,3] are the local unit vectors.

    The same as `axes.T @ vectors`, but never through BLAS, whose threads get in each other's way in parallel workers.
    """
    x, y, z = vectors
    rows = axes.astype(np.float32)
    return np.stack([x * rows[0, i] + y * rows[1, i] + z * rows[2, i] for i in range(3)])


def frame_along(origin: np.ndarray, y_axis: np.ndarray, z_hint: np.ndarray) -> Frame:
    """The frame whose y is along `y_axis` and whose z is as near to `z_hint` as that allows."""
    y = unit(np.asarray(y_axis, dtype=float))
    x = unit(np.cross(y, np.asarray(z_hint, dtype=float)))
    return Frame(np.asarray(origin, dtype=float), np.stack([x, y, np.cross(x, y)]))


def merge(surfaces: list[Surface]) -> Surface:
    """All samples of several surfaces as one."""
    return Surface(
        np.concatenate([surface.points for surface in surfaces], axis=1),
        np.concatenate([surface.normals for surface in surfaces], axis=1),
        np.concatenate([surface.colours for surface in surfaces], axis=1),
        np.concatenate([surface.loss for surface in surfaces]),
    )


def tube(path: np.ndarray, radii: np.ndarray, colour: np.ndarray, side=(1.0, 0.0, 0.0), loss=0.0) -> Surface:
    """A tube swept along a polyline.

    path [N,3] metres; radii [N], or [N,2] for ellipses whose first half-axis is as near to `side` as the path allows.
    The ends stay open: close them with an ellipsoid where they show.
    """
    path = np.asarray(path, dtype=float)
    radii = np.asarray(radii, dtype=float)
    radii = np.stack([radii, radii], axis=1) if radii.ndim == 1 else radii
    tangent = unit(np.gradient(path, axis=0))
    aside = _apart_from(tangent, side)
    across = unit(aside - np.einsum("ni,ni->n", aside, tangent)[:, None] * tangent)
    lengths = np.linalg.norm(np.diff(path, axis=0), axis=1)
    rings = np.pi * (radii[:-1].mean(axis=1) + radii[1:].mean(axis=1))
    u, v = _lattice((lengths * rings).sum())

    # One column a node: place, the two directions across, the two half-axes.
    nodes = np.concatenate([path, across, np.cross(across, tangent), radii], axis=1).T.astype(np.float32)
    at = np.interp(u, _fractions(lengths * rings), np.arange(len(path))).astype(np.float32)
    low = np.minimum(at.astype(np.intp), len(path) - 2)
    along = nodes[:, low] + (at - low).astype(np.float32) * np.diff(nodes)[:, low]
    centres, first, second, (width, depth) = along[:3], along[3:6], along[6:9], along[9:]
    cos, sin = np.cos(2 * np.pi * v), np.sin(2 * np.pi * v)
    points = centres + first * (width * cos) + second * (depth * sin)
    return _surface(points, _unit_rows(first * (depth * cos) + second * (width * sin)), colour, loss)


def capsule(start: np.ndarray, end: np.ndarray, radius_start: float, radius_end: float, colour) -> Surface:
    """A limb: a tapered tube from `start` to `end` [3] with round ends."""
    side = np.eye(3)[np.argmin(np.abs(end - start))]
    return merge(
        [
            tube(np.stack([start, end]), np.array([radius_start, radius_end]), colour, side),
            ellipsoid(start, np.full(3, radius_start), colour),
            ellipsoid(end, np.full(3, radius_end), colour),
        ]
    )


def ellipsoid(centre: np.ndarray, radii: np.ndarray, colour: np.ndarray, axes=None, loss=0.0) -> Surface:
    """An ellipsoid with half-axes radii [3] along the rows of axes [3,3] (default: the world's)."""
    radii = np.asarray(radii, dtype=float)
    axes = np.eye(3) if axes is None else axes
    power = 1.6  # Thomsen's approximation of the area
    pairs = (radii * np.roll(radii, 1)) ** power
    u, v = _lattice(4 * np.pi * pairs.mean() ** (1 / power))
    z = 2 * u - 1
    ring = np.sqrt(1 - z**2)
    sphere = np.stack([ring * np.cos(2 * np.pi * v), ring * np.sin(2 * np.pi * v), z])
    scale = radii[:, None].astype(np.float32)
    return _placed(Frame(centre, axes), sphere * scale, _unit_rows(sphere / scale), colour, loss)


def box(frame: Frame, half_sizes: np.ndarray, colour: np.ndarray, loss=0.0) -> Surface:
    """A box around the frame's origin with half-sizes [3] along its axes."""
    half_sizes = np.asarray(half_sizes, dtype=float)
    faces, normals = [], []
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        u, v = _lattice(4 * half_sizes[others].prod())
        for sign in (-1.0, 1.0):
            face, normal = np.empty((2, 3, len(u)), np.float32)
            face[axis], normal[:] = sign * half_sizes[axis], 0.0
            face[others[0]] = (2 * u - 1) * half_sizes[others[0]]
            face[others[1]] = (2 * v - 1) * half_sizes[others[1]]
            normal[axis] = sign
            faces.append(face)
            normals.append(normal)
    return _placed(frame, np.concatenate(faces, axis=1), np.concatenate(normals, axis=1), colour, loss)


def plate(
    frame: Frame,
    heights: np.ndarray,
    half_widths: np.ndarray,
    depth: float,
    arch: float,
    face_colour: np.ndarray,
    rib_colour: np.ndarray,
    holes: np.ndarray,
) -> Surface:
    """A sound box: an outline extruded backwards.

    The outline's half-width at heights [N] along the frame's y is half_widths [N]; the front lies at z = 0 and bulges
    by `arch` in the middle, the back at -depth. holes [H,4] are dark ellipses on the front: centre x, y, half-axes.
    """
    steps = np.diff(heights)
    areas = steps * (half_widths[:-1] + half_widths[1:])
    u, v = _lattice(areas.sum())
    y = np.interp(u, _fractions(areas), heights)
    across = 2 * v - 1
    x = across * np.interp(y, heights, half_widths)
    along = np.sin(np.pi * (y - heights[0]) / (heights[-1] - heights[0]))
    z = arch * (1 - across**2) * along
    holes_x, holes_y, holes_width, holes_height = holes.T[:, :, None]
    hole = (((x - holes_x) / holes_width) ** 2 + ((y - holes_y) / holes_height) ** 2 < 1).any(axis=0)
    painted = np.where(hole, 0.05, face_colour[:, None])

    # The bulge's true normal differs from z by a few degrees only, which shading needs and nothing else does.
    slope = 2 * arch * across * along / half_widths.max()
    front_normals = _unit_rows(np.stack([slope, np.zeros_like(slope), np.ones_like(slope)]))
    front = _placed(frame, np.stack([x, y, z]), front_normals, painted)
    back_normals = np.broadcast_to(np.array([[0.0], [0.0], [-1.0]]), front_normals.shape)
    back = _placed(frame, np.stack([x, y, -depth - z]), back_normals, rib_colour)

    slants = np.hypot(steps, np.diff(half_widths))
    u, v = _lattice(2 * slants.sum() * depth)
    mirror = np.where(v < 0.5, -1.0, 1.0)
    node = np.interp(u, _fractions(slants), np.arange(len(heights)))
    low = np.minimum(node.astype(int), len(steps) - 1)
    y = np.interp(node, np.arange(len(heights)), heights)
    x = np.interp(node, np.arange(len(heights)), half_widths) * mirror
    rib_normals = _unit_rows(np.stack([steps[low] * mirror, -np.diff(half_widths)[low], np.zeros(len(low))]))
    ribs = _placed(frame, np.stack([x, y, -depth * ((2 * v) % 1)]), rib_normals, rib_colour)
    return merge([front, back, ribs])


def _lattice(area_m2: float) -> np.ndarray:
    """Evenly spread u, v [P] in 0..1 for a surface of that area."""
    return _R2[:, : max(8, int(area_m2 * SAMPLES_PER_M2))]


def _fractions(weights: np.ndarray) -> np.ndarray:
    """Weights [N-1] of the pieces between nodes -> the cumulated share [N] at each node, 0..1."""
    return np.concatenate([[0.0], np.cumsum(weights)]) / weights.sum()


def _apart_from(tangent: np.ndarray, side: np.ndarray) -> np.ndarray:
    """`side` for every node [N,3], or another axis where the path runs along it."""
    side = unit(np.asarray(side, dtype=float))
    parallel = np.abs(tangent @ side) > 0.98
    return np.where(parallel[:, None], side[[2, 0, 1]], side)


def _unit_rows(vectors: np.ndarray) -> np.ndarray:
    """[3,P] -> the same directions at length one."""
    return vectors / np.sqrt(vectors[0] ** 2 + vectors[1] ** 2 + vectors[2] ** 2)


def _placed(frame: Frame, local: np.ndarray, normals: np.ndarray, colour: np.ndarray, loss: float = 0.0) -> Surface:
    """Samples [3,P] in a local frame -> a surface in the outer frame."""
    points = rotate(local, frame.axes) + frame.origin[:, None].astype(np.float32)
    return _surface(points, rotate(normals, frame.axes), colour, loss)


def _surface(points: np.ndarray, normals: np.ndarray, colour: np.ndarray, loss: float) -> Surface:
    """colour is one for all [3] or one a sample [3,P]."""
    colours = np.asarray(colour, np.float32).reshape(3, -1)
    return Surface(
        points.astype(np.float32, copy=False),
        normals.astype(np.float32, copy=False),
        np.broadcast_to(colours, points.shape),
        np.full(points.shape[1], loss, np.float32),
    )
