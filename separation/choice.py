"""Chooses which of the things in a room are its musicians."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from separation.footprints import (
    APART_M,
    LIKE_SHARE,
    PIECE_SHARE,
    SMALL_SHARE,
    SMALLEST,
    SURE_HEAD,
    TOUCHING_M,
    Group,
    centre_of,
    split_groups,
)
from utils.errors import InputError

LIKELY = 0.5  # score from which on a thing is taken for a musician; without a sure head if its size is one's
STAND_M = 1.25  # the highest that a music stand is


def choose(
    voxels: np.ndarray, height: np.ndarray, parts: list[Group], num_sources: int | None
) -> tuple[list[Group], list[Group], list[Group]]:
    """Divides parts of voxels `[V, 3]` at `height` `[V]`, the largest first, into musicians, small pieces, and other
    things.

    Musicians are the parts that resemble a person, or where none does, those that are as large as one. With
    `num_sources` there are that many: the likeliest ones, and if they are too few, the parts that gain most by being
    split.

    Raises:
        InputError: there is none, or there cannot be `num_sources`.
    """
    groups = _apart(voxels, [part for part in parts if _is_likely(part)])
    groups = groups or _apart(voxels, _as_large(parts))
    if not groups:
        others = [part for part in parts if part.reason and len(part.members) >= SMALLEST]
        hint = "is the vertical axis right (--up)? Musicians that touch need --num_sources"
        raise InputError(f"no musician found{_among(others)}; {hint}")
    spare: list[Group] = []
    if num_sources is not None:
        if len(groups) < num_sources:
            more = sorted(_as_large(parts), key=_rank, reverse=True)
            groups = _apart(voxels, groups + [part for part in more if not _is_in(part, groups)])
        groups.sort(key=_rank, reverse=True)
        spare = [replace(group, reason="a musician too many") for group in groups[num_sources:]]
        groups = groups[:num_sources]
    largest = max(len(group.members) for group in groups)
    rest = [part for part in parts if not _is_in(part, groups + spare)]
    is_large = [len(part.members) >= max(SMALLEST, PIECE_SHARE * largest) or _is_tall(height, part) for part in rest]
    is_thing = [large and not _is_next_to(voxels, part, groups) for part, large in zip(rest, is_large, strict=True)]
    others = [_unlike(voxels, part) for part, thing in zip(rest, is_thing, strict=True) if thing]
    pieces = [part for part, thing in zip(rest, is_thing, strict=True) if not thing]
    if num_sources is not None and len(groups) < num_sources:
        found = split_groups(voxels, groups, num_sources)
        if found is None:
            raise InputError(
                f"{len(groups)} musician(s) found{_among(others)}, and no way to make them {num_sources}; lower "
                "--num_sources, or is the vertical axis wrong (--up)?"
            )
        groups = found
    return groups, pieces, spare + others


def _is_likely(part: Group) -> bool:
    return part.score >= LIKELY and (not part.reason or part.head >= SURE_HEAD)


def _is_tall(height: np.ndarray, part: Group) -> bool:
    """Whether it has the size of a musician, and is higher than a music stand."""
    return not part.reason and float(np.percentile(height[part.members], 98)) > STAND_M


def _as_large(parts: list[Group]) -> list[Group]:
    """Those whose size is plausible for a musician, compared with the largest."""
    fitting = [part for part in parts if not part.reason]
    largest = max((len(part.members) for part in fitting), default=0)
    return [part for part in fitting if len(part.members) >= SMALL_SHARE * largest]


def _apart(voxels: np.ndarray, parts: list[Group]) -> list[Group]:
    """Those that are not directly beside an earlier one, unless both clearly have a head and are equally large."""
    kept: list[Group] = []
    for part in parts:
        centre = centre_of(voxels, part.members)
        for group in kept:
            sizes = sorted((len(part.members), len(group.members)))
            are_two = min(part.head, group.head) >= SURE_HEAD and sizes[0] >= LIKE_SHARE * sizes[1]
            if np.linalg.norm(centre - centre_of(voxels, group.members)) < (TOUCHING_M if are_two else APART_M):
                break
        else:
            kept.append(part)
    return kept


def _is_next_to(voxels: np.ndarray, part: Group, groups: list[Group]) -> bool:
    """Whether it stands over the same place as a musician, who is then taken to hold it."""
    centre = centre_of(voxels, part.members)
    near = [group for group in groups if np.linalg.norm(centre - centre_of(voxels, group.members)) < APART_M]
    return not part.reason and bool(near)


def _rank(part: Group) -> float:
    """Sorts by resemblance to a person, and then by size, the larger first."""
    return part.score * np.sqrt(len(part.members))


def _is_in(part: Group, groups: list[Group]) -> bool:
    return any(part.members is group.members for group in groups)


def _unlike(voxels: np.ndarray, part: Group) -> Group:
    x, _, z = voxels[part.members].mean(axis=0)
    return part if part.reason else replace(part, reason=f"something unlike a person at x = {x:.1f}, z = {z:.1f} m")


def _among(others: list[Group]) -> str:
    return "".join(f", {group.reason}" for group in others)
