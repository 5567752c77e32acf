"""A capture -> what stands in the room, as voxels, without floor, walls and stray points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from separation.ground import Ground, find_ground
from separation.surroundings import cloud_of, find_floor, find_walls, without_strays

VOXEL_M, FINE_M = 0.03, 0.02  # voxels for finding what stands where, and for finding heads


@dataclass(frozen=True)
class Cleared:
    """The contents of a room.

    voxels: `[V, 3]` metres, at `height` `[V]` above the ground, or above the lowest voxel if there is no ground; fine,
    fine_height: the same, finer. is_floor, is_wall: `[P]`, which of the points belong to them. ground: None if none is
    seen.
    """

    voxels: np.ndarray
    height: np.ndarray
    fine: np.ndarray
    fine_height: np.ndarray
    is_floor: np.ndarray
    is_wall: np.ndarray
    ground: Ground | None


def clear(xyz: np.ndarray) -> Cleared:
    """The contents of the room in points `[P, 3]`, metres, Y up."""
    fine = np.asarray(cloud_of(xyz).voxel_down_sample(FINE_M).points)  # [F, 3]
    voxels = np.asarray(cloud_of(fine).voxel_down_sample(VOXEL_M).points)  # [V, 3]
    floor = find_floor(voxels)
    ground = find_ground(voxels, floor) if floor else None
    is_floor = ground.holds(xyz) if ground else np.zeros(len(xyz), bool)
    if ground:
        voxels, fine = (cloud[~ground.covers(cloud)] for cloud in (voxels, fine))
    is_wall = np.zeros(len(xyz), bool)
    for wall in find_walls(voxels, floor):
        margin = wall.margin(voxels)
        voxels, fine = (cloud[wall.height(cloud) > margin] for cloud in (voxels, fine))
        is_wall |= ~is_floor & wall.holds(xyz)
    voxels, fine = without_strays(voxels), without_strays(fine)
    lowest = voxels[:, 1].min(initial=np.inf)
    height, fine_height = (ground.height(cloud) if ground else cloud[:, 1] - lowest for cloud in (voxels, fine))
    return Cleared(voxels, height, fine, fine_height, is_floor, is_wall, ground)
