"""One capture of several musicians -> a cloud for each of them.

The footprint decides. Seen from one side, a musician falls apart into head, instrument, legs and chair, but all of
these stand over one place on the floor, and those of other musicians over another. So heights are ignored, and a
musician is found where many points lie over one place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from separation.choice import choose
from separation.footprints import find_parts
from separation.heads import find_heads
from separation.people import with_score
from separation.pieces import join_pieces
from separation.room import clear
from utils.errors import InputError

REACH_M = 0.06  # points this near to a musician's voxels are its own
ELSEWHERE = ("floor", "walls", "stray points")  # owners of points that belong to no candidate
LARGEST_M = 1000.0  # between the points farthest apart: beyond, they are not in metres


@dataclass(frozen=True)
class Musician:
    """A musician with an instrument, where it was captured.

    xyz: `[P, 3]` float32 metres, Y up. rgb: `[P, 3]`, or None. floor_m: the y of the floor below.
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
class NobodysPoints:
    """Something that is not a musician. centroid_m: `[3]`, or None for scattered points."""

    reason: str
    num_points: int
    centroid_m: np.ndarray | None = None


@dataclass(frozen=True)
class Candidate:
    """Something that may be a musician. score: 0..1, how much it resembles one. reason: why it was not taken, or ''."""

    score: float
    reason: str
    floor_m: float


@dataclass(frozen=True)
class Scene:
    """A capture, and whose its points are.

    xyz: `[P, 3]` float32 metres, Y up. rgb: `[P, 3]`, or None. candidates: what may be a musician, from left to right
    (ascending x). owners: `[P]` int, the candidates' numbers from 0, -1 for the rest. taken: the numbers of the
    candidates that are musicians. floor_height_m: the y of the floor among the musicians, or if no floor is seen, of
    the musicians' lowest point. elsewhere: what belongs to no candidate.
    """

    xyz: np.ndarray
    rgb: np.ndarray | None
    candidates: list[Candidate]
    owners: np.ndarray
    taken: tuple[int, ...]
    has_floor: bool
    elsewhere: list[NobodysPoints]

    @property
    def labels(self) -> np.ndarray:
        """The musicians' numbers 0 .. N-1 `[P]` from left to right, -1 for the rest."""
        numbers = np.full(len(self.candidates) + 1, -1)
        numbers[list(self.taken)] = np.arange(len(self.taken))
        return numbers[self.owners]

    @cached_property
    def musicians(self) -> list[Musician]:
        """From left to right."""
        found = []
        for number in self.taken:
            own = self.owners == number
            rgb = None if self.rgb is None else self.rgb[own]
            found.append(Musician(self.xyz[own], rgb, self.candidates[number].floor_m))
        return found

    @property
    def floor_height_m(self) -> float:
        return float(np.mean([musician.floor_m for musician in self.musicians]))

    @property
    def left_out(self) -> list[NobodysPoints]:
        """What belongs to no musician."""
        parts = []
        for number, candidate in enumerate(self.candidates):
            own = self.owners == number
            if number not in self.taken and own.any():
                reason = f"candidate {number + 1}: {candidate.reason or 'not wanted'}"
                parts.append(NobodysPoints(reason, int(own.sum()), self.xyz[own].mean(axis=0, dtype=np.float64)))
        return [part for part in self.elsewhere[:2] + parts + self.elsewhere[2:] if part.num_points]

    def with_taken(self, numbers: Iterable[int]) -> Scene:
        """The same scene with other candidates, by their numbers from 0, as its musicians.

        Raises:
            InputError: there are no such candidates, or none is left.
        """
        wanted = tuple(sorted(set(numbers)))
        wrong = [number + 1 for number in wanted if not 0 <= number < len(self.candidates)]
        if wrong:
            raise InputError(f"no candidate {wrong[0]}; there are 1 to {len(self.candidates)}, see scene.png")
        if not wanted:
            raise InputError("no candidate is left as a musician")
        return replace(self, taken=wanted)


def split_scene(xyz: np.ndarray, rgb: np.ndarray | None = None, num_sources: int | None = None) -> Scene:
    """Finds the musicians in points `[P, 3]` (metres, Y up) with colours `[P, 3]`; the result is always the same.

    With `num_sources` it finds that many; without, as many as stand apart and resemble persons.

    Raises:
        InputError: there is no musician, or there are not `num_sources`; open3d is missing.
    """
    if not len(xyz):
        raise InputError("the scene holds no points")
    if not np.ptp(xyz, axis=0).max() <= LARGEST_M:
        raise InputError(f"points more than {LARGEST_M:g} m apart: is the scene in metres?")
    room = clear(xyz)
    voxels, height = room.voxels, room.height
    parts = find_parts(voxels, height, find_heads(room.fine, room.fine_height), num_sources or 1)
    parts = [with_score(voxels, height, part) for part in parts]
    groups, pieces, others = choose(voxels, height, parts, num_sources)
    candidates = sorted(groups + others, key=lambda group: voxels[group.members, 0].mean())
    is_taken = [any(candidate is group for group in groups) for candidate in candidates]
    owned = join_pieces(voxels, height, groups, pieces, others)  # [V], groups and others by number
    order = [next(k for k, group in enumerate(groups + others) if group is one) for one in candidates]
    owned = np.append(np.argsort(order), -1)[owned]  # candidates by number
    is_rest = ~room.is_floor & ~room.is_wall
    owners = np.full(len(xyz), -1)
    owners[is_rest] = _owners_of_points(xyz[is_rest], voxels, owned)

    taken = tuple(np.flatnonzero(is_taken).tolist())
    bottom = float(np.percentile(xyz[np.isin(owners, taken), 1], 0.5))
    told = []
    for number, group in enumerate(candidates):
        x, _, z = voxels[group.members].mean(axis=0)
        beneath = room.ground.below(x, z) if room.ground else bottom
        told.append(Candidate(group.score, "" if is_taken[number] else group.reason, beneath))
    counts = (int(room.is_floor.sum()), int(room.is_wall.sum()), int((owners[is_rest] < 0).sum()))
    elsewhere = [NobodysPoints(*part) for part in zip(ELSEWHERE, counts, strict=True)]
    return Scene(xyz, rgb, told, owners, taken, room.ground is not None, elsewhere)


def cloud_for_model(musician: Musician) -> np.ndarray:
    """The musician's points `[P, 3]` where training clouds stand: above the origin, with the floor at y = 0."""
    x, _, z = musician.centroid_m
    return musician.xyz - np.array([x, musician.floor_m, z], dtype=np.float32)


def _owners_of_points(xyz: np.ndarray, voxels: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """The owners `[P]` of the voxels nearest to points `[P, 3]`; -1 where none is near."""
    owned = owners >= 0
    distance, nearest = cKDTree(voxels[owned]).query(xyz, distance_upper_bound=REACH_M)
    return np.append(owners[owned], -1)[np.where(np.isinf(distance), -1, nearest)]
