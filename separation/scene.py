"""One capture of several musicians -> a cloud of each.

The footprint decides: seen from one side a musician falls apart into head, instrument, legs and chair, but all of them
stand over one place of the floor, and those of other musicians over another. So heights are dropped, and where much is
seen over one place stands somebody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from separation.footprints import Group, find_groups, join_pieces, split_groups
from separation.surroundings import MARGIN_M, cloud_of, find_floor, find_walls, without_strays
from utils.errors import InputError

VOXEL_M = 0.03
REACH_M = 0.06  # points this near to a musician's voxels are its own
LARGEST_M = 1000.0  # between the points farthest apart: beyond, they are not in metres


@dataclass(frozen=True)
class Musician:
    """One musician with its instrument, where it was captured.

    xyz: `[P, 3]` float32 metres, Y up. rgb: `[P, 3]`, or None. floor_m: the y of the floor beneath.
    """

    xyz: np.ndarray
    rgb: np.ndarray | None
    floor_m: float

    @property
    def num_points(self) -> int:
        return len(self.xyz)

    @property
    def centroid_m(self) -> np.ndarray:
        """`[3]`."""
        return self.xyz.mean(axis=0, dtype=np.float64)

    @property
    def size_m(self) -> np.ndarray:
        """`[3]`, along each axis, without the hundredth of the points at either end."""
        low, high = np.percentile(self.xyz, (1, 99), axis=0)
        return high - low


@dataclass(frozen=True)
class LeftOut:
    """Something that is no musician. centroid_m: `[3]`, or None of what is scattered."""

    reason: str
    num_points: int
    centroid_m: np.ndarray | None = None


@dataclass(frozen=True)
class Scene:
    """A capture and whose its points are.

    xyz: `[P, 3]` float32 metres, Y up. rgb: `[P, 3]`, or None. labels: `[P]` int, the musicians' numbers 0 .. N-1 from
    left to right (ascending x), -1 for the rest. floor_height_m: the y of the floor amid the musicians; without a floor
    in sight, of the lowest of what is a musician's.
    """

    xyz: np.ndarray
    rgb: np.ndarray | None
    labels: np.ndarray
    musicians: list[Musician]
    floor_height_m: float
    has_floor: bool
    left_out: list[LeftOut]


def split_scene(xyz: np.ndarray, rgb: np.ndarray | None = None, num_sources: int | None = None) -> Scene:
    """Finds the musicians in points `[P, 3]` (metres, Y up) with colours `[P, 3]`; the same every time.

    With `num_sources` there are as many, without as many as stand apart.

    Raises:
        InputError: there is no musician, or there are not `num_sources`; open3d is not there.
    """
    if not len(xyz):
        raise InputError("the scene holds no points")
    if not np.ptp(xyz, axis=0).max() <= LARGEST_M:
        raise InputError(f"points more than {LARGEST_M:g} m apart: is the scene in metres?")
    voxels = np.asarray(cloud_of(xyz).voxel_down_sample(VOXEL_M).points)  # [V, 3]
    floor = find_floor(voxels)
    is_floor = np.zeros(len(xyz), bool) if floor is None else floor.holds(xyz)
    if floor is not None:
        voxels = voxels[floor.height(voxels) > MARGIN_M]
    walls = find_walls(voxels, floor)
    is_wall = np.zeros(len(xyz), bool)
    for wall in walls:
        voxels = voxels[wall.height(voxels) > MARGIN_M]
        is_wall |= ~is_floor & wall.holds(xyz)
    voxels = without_strays(voxels)
    height = floor.height(voxels) if floor else voxels[:, 1] - voxels[:, 1].min(initial=0)

    groups, pieces, others = find_groups(voxels, height, num_sources or 1)
    if not groups:
        hint = "is the vertical axis right (--up)? Musicians that touch need --num_sources"
        raise InputError(f"no musician found{_among(others)}; {hint}")
    if num_sources is not None:
        groups, more = _as_many(voxels, groups, others, num_sources)
        others = others + more
    groups.sort(key=lambda group: voxels[group.members, 0].mean())
    owners = join_pieces(voxels, groups, pieces, others)  # [V], groups and others by number
    is_rest = ~is_floor & ~is_wall
    owner = np.full(len(xyz), -1)
    owner[is_rest] = _owners_of_points(xyz[is_rest], voxels, owners)

    labels = np.where(owner < len(groups), owner, -1)
    left_out = [LeftOut("floor", int(is_floor.sum())), LeftOut("walls", int(is_wall.sum()))]
    for number, group in enumerate(others, len(groups)):
        centroid = voxels[group.members].mean(axis=0)
        left_out.append(LeftOut(group.reason, int((owner == number).sum()), centroid))
    left_out.append(LeftOut("stray points", int((owner[is_rest] < 0).sum())))
    lowest = np.percentile(xyz[labels >= 0, 1], 0.5)
    musicians = []
    for number in range(len(groups)):
        own = xyz[labels == number]
        beneath = floor.below(own[:, 0].mean(), own[:, 2].mean()) if floor else float(lowest)
        musicians.append(Musician(own, None if rgb is None else rgb[labels == number], beneath))
    return Scene(
        xyz,
        rgb,
        labels,
        musicians,
        floor_height_m=float(np.mean([musician.floor_m for musician in musicians])),
        has_floor=floor is not None,
        left_out=[part for part in left_out if part.num_points],
    )


def cloud_for_model(musician: Musician) -> np.ndarray:
    """The musician's points `[P, 3]` where the clouds of the training stand: above the origin, the floor at y = 0."""
    x, _, z = musician.centroid_m
    return musician.xyz - np.array([x, musician.floor_m, z], dtype=np.float32)


def _as_many(
    voxels: np.ndarray, groups: list[Group], others: list[Group], num_sources: int
) -> tuple[list[Group], list[Group]]:
    """The groups of exactly as many musicians, and those that are too many."""
    if len(groups) > num_sources:
        groups = sorted(groups, key=lambda group: -len(group.members))
        spare = [Group(group.members, "a musician too many") for group in groups[num_sources:]]
        return groups[:num_sources], spare
    found = split_groups(voxels, groups, num_sources)
    if found is None:
        raise InputError(
            f"{len(groups)} musician(s) found{_among(others)}, and no way to make them {num_sources}; lower "
            "--num_sources, or is the vertical axis wrong (--up)?"
        )
    return found, []


def _among(others: list[Group]) -> str:
    return "".join(f", {group.reason}" for group in others)


def _owners_of_points(xyz: np.ndarray, voxels: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """The owners `[P]` of the voxels next to points `[P, 3]`; -1 where there are none near."""
    owned = owners >= 0
    distance, nearest = cKDTree(voxels[owned]).query(xyz, distance_upper_bound=REACH_M)
    return np.append(owners[owned], -1)[np.where(np.isinf(distance), -1, nearest)]
