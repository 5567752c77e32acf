"""What stands in a room, as voxels -> groups of them that are one musician each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from separation.surroundings import cloud_of

FEET_M = 0.15  # the lowest part makes no footprint: cables and what is left of the floor lead from one to another
EPS_M = 0.1
DENSITIES = (12, 20, 32, 50, 80)  # voxels within EPS_M of a place, from which on it is part of a cluster
SMALLEST = 100  # voxels of a musician
SMALL_SHARE = 0.2  # of the largest musician's voxels; what is smaller is no musician
PIECE_SHARE = 0.5  # the same; what is no musician and smaller may be a piece of one, such as a music stand
TOP_M, WIDE_M = 0.95, 2.2  # a musician's top above the floor, and its width
BULK_M = 0.4  # height of a musician without the lowest quarter and the highest tenth; of a music stand it is the desk's
APART_M, LIKE_SHARE = 0.6, 0.35  # two musicians in one cluster: their centres, and how much smaller one may be
CORE_SHARE = 0.5  # of one musician in a cluster of it and pieces; what is less is only the densest of a sparse cloud
TOUCHING_M = 0.42  # the same, of those told to be two: halves of one musician are nearer
NEIGHBOUR_M = 0.08  # voxels no farther apart are of one piece
ARM_M = 1.0  # from a musician's footprint to the end of what is of one piece with it: a bow, a scroll
NEAR_M = 1.0  # from a musician's centre to that of a separate piece that belongs to it, such as a music stand


@dataclass(frozen=True)
class Group:
    """Voxels that belong together. members: their numbers. reason: why it is no musician, if it is none."""

    members: np.ndarray
    reason: str = ""


def find_groups(
    voxels: np.ndarray, height: np.ndarray, touching: int = 1
) -> tuple[list[Group], list[Group], list[Group]]:
    """Among voxels `[V, 3]` at `height` `[V]` above the floor: musicians, small pieces, and things that are neither.

    touching: how many musicians one group may be.
    """
    body = np.flatnonzero(height > FEET_M)
    widest = WIDE_M + APART_M * (touching - 1)
    parts = [
        Group(piece, _why_not(voxels, height, piece, widest))
        for part in _clusters(voxels, body, DENSITIES[0])
        for piece in _taken_apart(voxels, height, part, DENSITIES[1:])
    ]
    parts.sort(key=lambda part: -len(part.members))
    largest = next((len(part.members) for part in parts if not part.reason), 0)
    groups, pieces, others = [], [], []
    for part in parts:
        centre = _centre(voxels, part.members)
        is_like = len(part.members) >= SMALL_SHARE * largest
        is_apart = all(np.linalg.norm(centre - _centre(voxels, group.members)) >= APART_M for group in groups)
        if not part.reason and is_like and is_apart:
            groups.append(part)
        elif part.reason and len(part.members) >= max(SMALLEST, PIECE_SHARE * largest):
            others.append(part)
        else:
            pieces.append(part)
    return groups, pieces, others


def split_groups(voxels: np.ndarray, groups: list[Group], count: int) -> list[Group] | None:
    """`count` groups, made by splitting those whose footprints gain most by it; None if musicians would be too near."""
    footprints = [voxels[group.members][:, [0, 2]] for group in groups]
    counts = [1] * len(groups)
    splits = [_k_means(footprint, 1) for footprint in footprints]
    while sum(counts) < count:
        finer = [_k_means(footprint, n + 1) for footprint, n in zip(footprints, counts, strict=True)]
        best = max(range(len(groups)), key=lambda k: splits[k][0] - finer[k][0])
        counts[best], splits[best] = counts[best] + 1, finer[best]
    found, centres = [], []
    for group, footprint, n, (_, labels) in zip(groups, footprints, counts, splits, strict=True):
        found += [Group(group.members[labels == k]) for k in range(n)]
        centres += [footprint[labels == k].mean(axis=0) for k in range(n) if (labels == k).any()]
    too_near = cKDTree(centres).query_pairs(TOUCHING_M)
    return None if too_near or min(len(group.members) for group in found) < SMALLEST else found


def join_pieces(voxels: np.ndarray, groups: list[Group], pieces: list[Group], others: list[Group]) -> np.ndarray:
    """The owner of each voxel, `[V]`: a number in `groups + others`, or -1.

    Pieces are whole the nearest musician's. What is of one piece with a musician, such as an arm, belongs to the one
    that is nearest by the way along it.
    """
    owners = np.full(len(voxels), -1)
    for number, group in enumerate(groups + others):
        owners[group.members] = number
    centres = cKDTree([_centre(voxels, group.members) for group in groups])
    _give_to_nearest(voxels, owners, [piece.members for piece in pieces], centres)

    free = np.flatnonzero(owners < len(groups))  # and the musicians'
    graph = _neighbours(voxels[free])
    seeds = np.flatnonzero(owners[free] >= 0)
    distance, _, source = dijkstra(graph, indices=seeds, min_only=True, return_predecessors=True, limit=ARM_M)
    near = np.isfinite(distance)
    owners[free[near]] = owners[free[source[near]]]

    rest = np.flatnonzero(owners < 0)
    number, labels = connected_components(_neighbours(voxels[rest]), directed=False)
    _give_to_nearest(voxels, owners, [rest[labels == piece] for piece in range(number)], centres)
    return owners


def _give_to_nearest(voxels: np.ndarray, owners: np.ndarray, pieces: list[np.ndarray], centres: cKDTree) -> None:
    """Gives every piece whole to the musician whose centre is nearest, if one is near."""
    for members in pieces:
        distance, owner = centres.query(_centre(voxels, members))
        if distance <= NEAR_M:
            owners[members] = owner


def _centre(voxels: np.ndarray, members: np.ndarray) -> np.ndarray:
    return voxels[members][:, [0, 2]].mean(axis=0)


def _neighbours(voxels: np.ndarray) -> csr_matrix:
    """The distances `[V, V]` of voxels that touch."""
    tree = cKDTree(voxels)
    return tree.sparse_distance_matrix(tree, NEIGHBOUR_M, output_type="coo_matrix").tocsr()


def _clusters(voxels: np.ndarray, members: np.ndarray, density: int) -> list[np.ndarray]:
    """The parts of `members` whose footprints are dense."""
    if not len(members):
        return []
    labels = np.asarray(cloud_of(voxels[members] * (1, 0, 1)).cluster_dbscan(EPS_M, density))
    return [members[labels == label] for label in range(labels.max() + 1)]


def _taken_apart(
    voxels: np.ndarray, height: np.ndarray, members: np.ndarray, densities: tuple[int, ...]
) -> list[np.ndarray]:
    """The parts of a cluster once thin bridges are taken away: musicians joined by a bow, a music stand before one."""
    for level, density in enumerate(densities, 1):
        parts = _clusters(voxels, members, density)
        largest = max(map(len, parts), default=0)
        bodies = [p for p in parts if len(p) >= LIKE_SHARE * largest and not _why_not(voxels, height, p)]
        centres = [_centre(voxels, part) for part in bodies]
        are_musicians = len(bodies) > 1 and not cKDTree(centres).query_pairs(APART_M)
        is_core = len(bodies) == 1 < len(parts) and largest >= CORE_SHARE * len(members)
        if are_musicians or is_core:
            return [piece for part in parts for piece in _taken_apart(voxels, height, part, densities[level:])]
    return [members]


def _why_not(voxels: np.ndarray, height: np.ndarray, members: np.ndarray, widest: float = WIDE_M) -> str:
    """Why a cluster is no musician; '' if it may be one."""
    low, high = np.percentile(voxels[members][:, [0, 2]], (1, 99), axis=0)
    width = (high - low).max()
    bottom, bulk, top = np.percentile(height[members], (25, 90, 99))
    where = f"at x = {(low[0] + high[0]) / 2:.1f}, z = {(low[1] + high[1]) / 2:.1f} m"
    if width > widest:
        return f"something {width:.1f} m wide {where}"
    if top < TOP_M or bulk - bottom < BULK_M:
        return f"something {top:.1f} m high {where}"
    return "" if len(members) >= SMALLEST else f"something small {where}"


def _k_means(footprint: np.ndarray, count: int) -> tuple[float, np.ndarray]:
    """Sum of squared distances from the centres, and labels `[V]`; of several tries the best."""
    tries = []
    for seed in range(8):
        centres, labels = kmeans2(footprint, count, minit="++", seed=seed, iter=50)
        tries.append((float(((footprint - centres[labels]) ** 2).sum()), seed, labels))
    cost, _, labels = min(tries)[:3]
    return cost, labels
