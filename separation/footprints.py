"""Voxels of what stands in a room -> groups that are one musician each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from separation.heads import Head

FEET_M = 0.15  # the lowest part makes no footprint: cables and what is left of the floor lead from one to another
EPS_M = 0.1
CELL_M = 0.02  # edge of a cell of the floor
DENSITIES = (12, 20, 32, 50, 80)  # least voxels within EPS_M of a place that is part of a cluster
SMALLEST = 100  # voxels of a musician
SMALL_SHARE = 0.2  # a musician has at least this share of the largest one's voxels
PIECE_SHARE = 0.5  # the same; what is no musician and smaller may be a piece of one, such as a music stand
TOP_M, WIDE_M = 0.95, 2.2  # a musician's top above the floor, and its width
BULK_M = 0.4  # height of a musician without the lowest quarter and the highest tenth; of a music stand it is the desk's
APART_M, LIKE_SHARE = 0.6, 0.35  # two musicians in one cluster: their centres, and how much smaller one may be
CORE_SHARE = 0.5  # least share of a cluster that its one musician has: less is only the densest part of a sparse cloud
TOUCHING_M = 0.42  # the same, if there must be two: halves of one musician are nearer
HEAD_NEAR_M = 0.1  # farthest from a head to the nearest voxel of its owner
SURE_HEAD, HEADS_APART_M = 0.6, 0.45  # heads that take one thing apart


@dataclass(frozen=True)
class Group:
    """Voxels that belong together.

    members: their numbers. reason: why its size is not a musician's; '' if it may be. head: the score of its best head,
    0 if it has none. head_m: the height of that head above the floor. score: 0..1, how much it resembles a musician.
    """

    members: np.ndarray
    reason: str = ""
    head: float = 0.0
    head_m: float = 0.0
    score: float = 0.0


def find_parts(voxels: np.ndarray, height: np.ndarray, heads: list[Head], touching: int = 1) -> list[Group]:
    """The separate things among voxels `[V, 3]` at `height` `[V]` above the floor, the largest first.

    A thing with several heads is divided between them. touching: how many musicians one group may be.
    """
    body = np.flatnonzero(height > FEET_M)
    widest = WIDE_M + APART_M * (touching - 1)
    pieces = [
        piece
        for part in _clusters(voxels, body, DENSITIES[0])
        for piece in _taken_apart(voxels, height, part, DENSITIES[1:])
    ]
    owners = np.full(len(voxels), -1)
    for number, piece in enumerate(pieces):
        owners[piece] = number
    of_piece = _heads_of(voxels, owners, heads, len(pieces))
    parts = []
    for piece, own in zip(pieces, of_piece, strict=True):
        for members, head in _between_heads(voxels, piece, own):
            reason = _why_not(voxels, height, members, widest)
            parts.append(_with_head(voxels, height, Group(members, reason), head))
    return sorted(parts, key=lambda part: -len(part.members))


def _heads_of(voxels: np.ndarray, owners: np.ndarray, heads: list[Head], count: int) -> list[list[Head]]:
    """The heads on each of `count` parts, the best first; owners: the part `[V]` of each voxel, or -1."""
    found: list[list[Head]] = [[] for _ in range(count)]
    owned = np.flatnonzero(owners >= 0)
    if not len(owned):
        return found
    tree = cKDTree(voxels[owned])
    for head in heads:
        distance, nearest = tree.query(head.place)
        if distance <= HEAD_NEAR_M:
            found[owners[owned[nearest]]].append(head)
    return found


def _between_heads(voxels: np.ndarray, members: np.ndarray, heads: list[Head]) -> list[tuple[np.ndarray, Head | None]]:
    """The parts of a thing with several certain heads, each part nearest to one of them; the whole thing if
    it has not.
    """
    sure: list[Head] = []
    for head in heads:
        apart = all(np.hypot(*(head.place - other.place)[[0, 2]]) >= HEADS_APART_M for other in sure)
        if head.score >= SURE_HEAD and apart:
            sure.append(head)
    if len(sure) < 2:
        return [(members, heads[0] if heads else None)]
    axes = cKDTree([head.place[[0, 2]] for head in sure])
    nearest = axes.query(voxels[members][:, [0, 2]])[1]
    return [(members[nearest == k], head) for k, head in enumerate(sure) if (nearest == k).any()]


def _with_head(voxels: np.ndarray, height: np.ndarray, part: Group, head: Head | None) -> Group:
    if head is None:
        return part
    nearest = np.linalg.norm(voxels[part.members] - head.place, axis=1).argmin()
    return replace(part, head=head.score, head_m=float(height[part.members][nearest]))


def split_groups(voxels: np.ndarray, groups: list[Group], count: int) -> list[Group] | None:
    """`count` groups, made by splitting those whose footprints gain most by it; None if musicians would be too close
    together.
    """
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


def centre_of(voxels: np.ndarray, members: np.ndarray) -> np.ndarray:
    return voxels[members][:, [0, 2]].mean(axis=0)


def _clusters(voxels: np.ndarray, members: np.ndarray, density: int) -> list[np.ndarray]:
    """The parts of `members` whose footprints are dense: DBSCAN on the cells of the floor below them."""
    if not len(members):
        return []
    cells, place, weights = np.unique(
        np.floor(voxels[members][:, [0, 2]] / CELL_M), axis=0, return_inverse=True, return_counts=True
    )
    place = place.reshape(-1)
    first, second = cKDTree(cells * CELL_M).query_pairs(EPS_M, output_type="ndarray").T
    near = weights + np.bincount(first, weights[second], len(cells)) + np.bincount(second, weights[first], len(cells))
    is_core = near >= density
    joined = is_core[first] & is_core[second]
    graph = coo_matrix((np.ones(joined.sum()), (first[joined], second[joined])), shape=(len(cells), len(cells)))
    labels = np.where(is_core, connected_components(graph, directed=False)[1], -1)
    for inner, outer in ((first, second), (second, first)):  # what is only near a dense cell belongs to it
        at_border = is_core[inner] & ~is_core[outer]
        labels[outer[at_border]] = labels[inner[at_border]]
    owners = labels[place]
    return [members[owners == label] for label in np.unique(owners[owners >= 0])]


def _taken_apart(
    voxels: np.ndarray, height: np.ndarray, members: np.ndarray, densities: tuple[int, ...]
) -> list[np.ndarray]:
    """The parts of a cluster after thin bridges are removed: musicians joined by a bow, or a music stand before one."""
    for level, density in enumerate(densities, 1):
        parts = _clusters(voxels, members, density)
        largest = max(map(len, parts), default=0)
        bodies = [p for p in parts if len(p) >= LIKE_SHARE * largest and not _why_not(voxels, height, p)]
        centres = [centre_of(voxels, part) for part in bodies]
        are_musicians = len(bodies) > 1 and not cKDTree(centres).query_pairs(APART_M)
        is_core = len(bodies) == 1 < len(parts) and largest >= CORE_SHARE * len(members)
        if are_musicians or is_core:
            return [piece for part in parts for piece in _taken_apart(voxels, height, part, densities[level:])]
    return [members]


def _why_not(voxels: np.ndarray, height: np.ndarray, members: np.ndarray, widest: float = WIDE_M) -> str:
    """Why a cluster is not a musician; '' if it may be one."""
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
    """K-means: the sum of squared distances from the centres, and labels `[V]`; the best of several tries."""
    tries = []
    for seed in range(8):
        centres, labels = kmeans2(footprint, count, minit="++", seed=seed, iter=50)
        tries.append((float(((footprint - centres[labels]) ** 2).sum()), seed, labels))
    cost, _, labels = min(tries)[:3]
    return cost, labels
