"""What a depth camera sees of a set of surfaces."""

from dataclasses import dataclass

import numpy as np

from demo_data.shapes import Frame, Surface, rotate, unit

PIXEL_RAD = 0.0046  # angle between neighbouring pixels: 12 mm at 2.6 m
DEPTH_NOISE_PER_M = 0.0006  # the depth's standard deviation is this times the distance squared: 4 mm at 2.5 m
SHADOW_M = 0.06  # a pixel this far behind a neighbour lies in that neighbour's shadow edge
FLYING_SHARE = 0.006  # share of points torn off silhouettes backwards


@dataclass(frozen=True)
class Camera:
    """A camera on the +z side of the origin, looking along -z: height and distance in metres, light [3] from where
    the light comes, tint [3] the gains of its three colour channels; the angle between its pixels, and how many times
    the usual noise its depths have."""

    height_m: float
    distance_m: float
    light: np.ndarray
    tint: np.ndarray
    pixel_rad: float = PIXEL_RAD
    noise: float = 1.0


def draw_camera(rng: np.random.Generator) -> Camera:
    """A random camera: 1 to 1.4 m high, 2.3 to 2.9 m away, the light from above and behind it."""
    light = unit(np.array([rng.uniform(-0.8, 0.8), rng.uniform(0.3, 1.2), 1.0]))
    return Camera(rng.uniform(1.0, 1.4), rng.uniform(2.3, 2.9), light, rng.uniform(0.9, 1.1, 3))


def photograph(
    surface: Surface, place: Frame, camera: Camera, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Surface samples in the frame `place` -> visible points xyz [P,3] in metres and rgb [P,3] in 0..255 (uint8)."""
    return photograph_samples(surface, place, camera, rng)[:2]


def photograph_samples(
    surface: Surface, place: Frame, camera: Camera, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `photograph`, and which of the surface's samples the points are, [P]."""
    pixel = camera.pixel_rad
    eye = np.array([0.0, camera.height_m, camera.distance_m])
    local_eye = (place.axes @ (eye - place.origin)).astype(np.float32)
    to_eye = local_eye[:, None] - surface.points
    facing = np.flatnonzero((to_eye * surface.normals).sum(axis=0) > 0)
    shift = (place.origin - eye).astype(np.float32)[:, None]
    x, y, z = rotate(surface.points[:, facing], place.axes) + shift
    depth = -z
    column = np.rint(x / depth / pixel).astype(int)
    row = np.rint(y / depth / pixel).astype(int)
    column_low, row_low = column.min() - 1, row.min() - 1  # one empty pixel all round
    shape = (row.max() - row_low + 2, column.max() - column_low + 2)

    nearest = np.full(shape, -1)
    far_to_near = np.argsort(-depth)
    # Of several values for one pixel the last, which is the nearest, stays.
    nearest[row[far_to_near] - row_low, column[far_to_near] - column_low] = far_to_near
    depth_map = np.where(nearest >= 0, depth[nearest], np.inf)

    seen = (nearest >= 0) & (depth_map < _nearest_neighbour(depth_map) + SHADOW_M)
    seen_rows, seen_columns = np.nonzero(seen)
    chosen = nearest[seen]
    kept = rng.random(len(chosen)) >= surface.loss[facing[chosen]]
    chosen, seen_rows, seen_columns = chosen[kept], seen_rows[kept], seen_columns[kept]

    noise = camera.noise * DEPTH_NOISE_PER_M
    measured = depth[chosen] + rng.standard_normal(len(chosen)) * noise * depth[chosen] ** 2
    at_edge = at_silhouette(depth_map)[seen_rows, seen_columns]
    torn = at_edge & (rng.random(len(chosen)) < FLYING_SHARE * len(chosen) / max(1, at_edge.sum()))
    measured += torn * rng.uniform(0.03, 0.25, len(chosen))

    ray_x, ray_y = (seen_columns + column_low) * pixel, (seen_rows + row_low) * pixel
    xyz = np.stack([eye[0] + ray_x * measured, eye[1] + ray_y * measured, eye[2] - measured], axis=1)
    normals = rotate(surface.normals[:, facing[chosen]], place.axes)
    shading = 0.5 + 0.5 * np.maximum(0.0, (camera.light[:, None] * normals).sum(axis=0))
    colours = (surface.colours[:, facing[chosen]] * shading).T * camera.tint
    colours = colours + rng.normal(0.0, 0.02, colours.shape)
    return xyz.astype(np.float32), np.rint(np.clip(colours, 0, 1) * 255).astype(np.uint8), facing[chosen]


def _nearest_neighbour(depth_map: np.ndarray) -> np.ndarray:
    """The smallest depth among the four neighbours of every pixel."""
    padded = np.pad(depth_map, 1, constant_values=np.inf)
    vertical = np.minimum(padded[:-2, 1:-1], padded[2:, 1:-1])
    return np.minimum(vertical, np.minimum(padded[1:-1, :-2], padded[1:-1, 2:]))


def at_silhouette(depth_map: np.ndarray) -> np.ndarray:
    """Pixels beside which the surface ends or falls back."""
    padded = np.pad(depth_map, 1, constant_values=np.inf)
    vertical = np.maximum(padded[:-2, 1:-1], padded[2:, 1:-1])
    farthest = np.maximum(vertical, np.maximum(padded[1:-1, :-2], padded[1:-1, 2:]))
    return farthest > depth_map + SHADOW_M
