"""Assigns instruments, arms, music stands and pianos to the musicians they belong to."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from separation.footprints import APART_M, SMALLEST, Group, centre_of

NEIGHBOUR_M = 0.08  # voxels at most this far apart belong to one piece
ARM_M = 1.0  # from a musician's footprint to the end of anything connected to it: a bow, a scroll
NEAR_M = 1.0  # from a musician's centre to that of a separate piece that belongs to it, such as a music stand
STAND_M, TOUCH_M = 0.95, 0.2  # anything lower is a chair, not a music stand; it belongs to a musician this near
SEATED_M = 1.6  # the highest head of a musician who sits
PERSON = 0.3  # score of what nobody plays
KEYS_M, KEYS_NEAR_M = (0.5, 1.1), 0.5  # heights of keys; how near they are, where a back hides the hands
PIANOS_M = ((1.1, 1.9, 0.95, 1.4), (1.5, 3.0, 0.95, 2.0))  # widths and heights of uprights and grands: tables are lower


def join_pieces(
    voxels: np.ndarray, height: np.ndarray, groups: list[Group], pieces: list[Group], others: list[Group]
) -> np.ndarray:
    """The owner of each voxel, `[V]`: a number in `groups + others`, or -1.

    A piano belongs to its pianist. Other separate pieces belong completely to the nearest musician. What is connected
    to a musician, such as an arm, belongs to the musician that is nearest along the connection.
    """
    owners = np.full(len(voxels), -1)
    for number, group in enumerate(groups + others):
        owners[group.members] = number
    for k, parts in _pianos(voxels, height, groups, pieces + others).items():
        for part in parts:
            owners[part.members] = k
    loose = [piece.members for piece in pieces if owners[piece.members[0]] < 0]
    _give_to_nearest(voxels, height, owners, loose, groups)

    seeds = np.flatnonzero(owners >= 0)
    graph = _neighbours(voxels)
    distance, _, source = dijkstra(graph, indices=seeds, min_only=True, return_predecessors=True, limit=ARM_M)
    near = np.isfinite(distance)
    owners[near] = owners[source[near]]

    rest = np.flatnonzero(owners < 0)
    number, labels = connected_components(_neighbours(voxels[rest]), directed=False)
    _give_to_nearest(voxels, height, owners, [rest[labels == piece] for piece in range(number)], groups)
    return owners


def _pianos(voxels: np.ndarray, height: np.ndarray, groups: list[Group], parts: list[Group]) -> dict[int, list[Group]]:
    """The parts of the piano in front of each musician who sits at one, by the musician's number."""
    own = cKDTree([centre_of(voxels, group.members) for group in groups])
    loose = [part for part in parts if part.score < PERSON and own.query(centre_of(voxels, part.members))[0] > APART_M]
    trees = [cKDTree(voxels[group.members]) for group in groups]
    keys = [voxels[part.members][_is_between(height[part.members], KEYS_M)] for part in loose]
    found: dict[int, list[Group]] = {}
    for k, group in enumerate(groups):
        if not 0 < group.head_m <= SEATED_M:
            continue
        reached, edge = [], [voxels[group.members][_is_between(height[group.members], KEYS_M)]]
        while edge and len(np.concatenate(edge)):
            tree = cKDTree(np.concatenate(edge))
            now = [
                n
                for n, place in enumerate(keys)
                if n not in reached and _is_reached(tree, place, trees[:k] + trees[k + 1 :])
            ]
            reached, edge = reached + now, [keys[n] for n in now]
        if reached and _is_piano(voxels, height, np.concatenate([loose[n].members for n in reached])):
            found[k] = [loose[n] for n in reached]
    return found


def _is_reached(tree: cKDTree, places: np.ndarray, others: list[cKDTree]) -> bool:
    """Whether places are near to those of `tree`, and nearer to them than to any others."""
    near = tree.query(places)[0].min(initial=np.inf)
    return near <= KEYS_NEAR_M and all(near <= other.query(places)[0].min(initial=np.inf) for other in others)


def _is_piano(voxels: np.ndarray, height: np.ndarray, members: np.ndarray) -> bool:
    flat = voxels[members][:, [0, 2]] - centre_of(voxels, members)
    axis = np.linalg.svd(flat, full_matrices=False)[2][0]
    width = np.ptp(np.percentile(flat @ axis, (2, 98)))
    top = np.percentile(height[members], 98)
    return any(low <= width <= wide and least <= top <= high for low, wide, least, high in PIANOS_M)


def _is_between(height: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (height > limits[0]) & (height < limits[1])


def _give_to_nearest(
    voxels: np.ndarray, height: np.ndarray, owners: np.ndarray, pieces: list[np.ndarray], groups: list[Group]
) -> None:
    """Gives every piece completely to the musician whose centre is nearest, if one is near; chairs to whoever touches
    them.
    """
    centres = cKDTree([centre_of(voxels, group.members) for group in groups])
    trees: dict[int, cKDTree] = {}
    for members in pieces:
        distance, owner = centres.query(centre_of(voxels, members))
        if distance > NEAR_M:
            continue
        if len(members) >= SMALLEST and np.percentile(height[members], 98) < STAND_M:
            tree = trees.setdefault(owner, cKDTree(voxels[groups[owner].members]))
            if tree.query(voxels[members])[0].min() > TOUCH_M:
                continue
        owners[members] = owner


def _neighbours(voxels: np.ndarray) -> csr_matrix:
    """The distances `[V, V]` between voxels that touch."""
    tree = cKDTree(voxels)
    return tree.sparse_distance_matrix(tree, NEIGHBOUR_M, output_type="coo_matrix").tocsr()
