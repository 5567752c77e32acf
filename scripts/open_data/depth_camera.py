"""A depth camera before a mesh: what it sees of it, with its noise, its holes and its grid of a millimetre.

open3d casts the rays in single precision, whose last digits differ from one processor to another. It only proposes
triangles, for each ray and for four beside it; which of them is hit first, and where, is computed here in double
precision. What then differs is far below the grid that points are put on, so that every machine sees the same cloud.
"""

from __future__ import annotations

import numpy as np
from demo_data.camera import DEPTH_NOISE_PER_M, FLYING_SHARE, Camera, at_silhouette
from demo_data.shapes import Frame

from open_data.solids import Solid, moved

PIXEL_RAD = 0.002  # angle between neighbouring pixels: 5 mm at 2.6 m, 15 to 30 thousand points of a musician
MOST_POINTS = 30_000  # of one musician
GRID_M = 0.001
BESIDE_RAD = 1e-5  # far above the error of single precision, far below a pixel
EDGE_LOSS = 0.35  # share of the pixels on silhouettes that hold no depth
GRAZING, GRAZING_LOSS = 0.17, 0.5  # cosine below which a surface is lost, and how often


def photograph(
    mesh: Solid, place: Frame, camera: Camera, rng: np.random.Generator, most: int = MOST_POINTS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A mesh in the frame `place` -> at most `most` visible points: xyz [P,3] in metres, rgb [P,3] in 0..255 (uint8),
    and the triangle of the mesh that each lies on, [P]."""
    mesh = moved(mesh, place)
    eye = np.array([0.0, camera.height_m, camera.distance_m])
    corners = mesh.vertices - eye
    ahead = corners[:, :2] / -corners[:, 2:] / camera.pixel_rad
    low, high = np.floor(ahead.min(axis=0)).astype(int) - 1, np.ceil(ahead.max(axis=0)).astype(int) + 2
    columns, rows = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
    rays = np.stack([columns * camera.pixel_rad, rows * camera.pixel_rad, np.full(columns.shape, -1.0)], axis=-1)
    depth, triangle, weights = _first_hits(corners, mesh.triangles, rays.reshape(-1, 3))
    depth_map = depth.reshape(columns.shape)

    seen = np.flatnonzero(np.isfinite(depth))
    triangle, weights, measured, rays = triangle[seen], weights[seen], depth[seen], rays.reshape(-1, 3)[seen]
    corner = mesh.triangles[triangle]  # [P, 3]
    sides = corners[corner[:, 1:]] - corners[corner[:, :1]]  # [P, 2, 3]
    normals = np.cross(sides[:, 0], sides[:, 1])
    normals /= np.sqrt((normals**2).sum(axis=1, keepdims=True))
    towards = (normals * rays).sum(axis=1, keepdims=True)
    normals = np.where(towards > 0, -normals, normals)
    cosine = np.abs(towards[:, 0]) / np.sqrt((rays**2).sum(axis=1))

    at_edge = at_silhouette(depth_map).reshape(-1)[seen]
    chance = (mesh.loss[corner] * weights).sum(axis=1)
    chance = 1 - (1 - chance) * (1 - EDGE_LOSS * at_edge) * (1 - GRAZING_LOSS * (cosine < GRAZING))
    kept = np.flatnonzero(rng.random(len(seen)) >= chance)
    if len(kept) > most:
        kept = np.sort(rng.choice(kept, most, replace=False))
    measured = measured + rng.standard_normal(len(seen)) * camera.noise * DEPTH_NOISE_PER_M * measured**2
    torn = at_edge & (rng.random(len(seen)) < FLYING_SHARE * len(seen) / max(1, at_edge.sum()))
    measured += torn * rng.uniform(0.03, 0.25, len(seen))

    shading = 0.5 + 0.5 * np.maximum(0.0, (normals * camera.light).sum(axis=1))
    colours = (mesh.colours[corner] * weights[..., None]).sum(axis=1) * shading[:, None] * camera.tint
    colours = colours + rng.normal(0.0, 0.02, colours.shape)
    xyz = np.rint((eye + rays * measured[:, None])[kept] / GRID_M) * GRID_M
    return xyz.astype(np.float32), np.rint(np.clip(colours[kept], 0, 1) * 255).astype(np.uint8), triangle[kept]


def _first_hits(corners: np.ndarray, triangles: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, ...]:
    """What rays [R,3] from the origin meet first -> depth [R] along them (inf: nothing), triangle [R], and the weights
    [R,3] of its corners."""
    import open3d as o3d  # takes seconds to load, and only a worker that sees something needs it

    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(o3d.core.Tensor(corners.astype(np.float32)), o3d.core.Tensor(triangles.astype(np.uint32)))
    depth, triangle, weights = np.full(len(rays), np.inf), np.zeros(len(rays), int), np.zeros((len(rays), 3))
    nothing, first = o3d.t.geometry.RaycastingScene.INVALID_ID, None
    for x, y in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
        aimed = np.concatenate([np.zeros_like(rays), rays + BESIDE_RAD * np.array([x, y, 0.0])], axis=1)
        found = scene.cast_rays(o3d.core.Tensor(aimed.astype(np.float32)), nthreads=1)["primitive_ids"].numpy()
        new = found != nothing if first is None else (found != nothing) & (found != first)
        first = found if first is None else first
        at = np.flatnonzero(new)
        along, inside = _intersect(corners[triangles[found[at]]], rays[at])
        nearer = along < depth[at]
        depth[at[nearer]], triangle[at[nearer]], weights[at[nearer]] = along[nearer], found[at[nearer]], inside[nearer]
    return depth, triangle, weights


def _intersect(triangles: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Triangles [R,3,3] and rays [R,3] from the origin -> depth [R] along each (inf: beside it), weights [R,3].

    Moeller and Trumbore, "Fast, minimum storage ray-triangle intersection", Journal of Graphics Tools 2(1), 1997.
    """
    origin, first, second = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    across = np.cross(rays, second)
    volume = (first * across).sum(axis=1)
    flat = np.abs(volume) < 1e-15
    volume = np.where(flat, 1.0, volume)
    u = -(origin * across).sum(axis=1) / volume
    other = np.cross(-origin, first)
    v = (rays * other).sum(axis=1) / volume
    depth = (second * other).sum(axis=1) / volume
    hit = ~flat & (u >= 0) & (v >= 0) & (u + v <= 1) & (depth > 0)
    return np.where(hit, depth, np.inf), np.stack([1 - u - v, u, v], axis=1)
