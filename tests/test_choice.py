"""Which parts of a room are its musicians, by their scores, heads and sizes."""

from __future__ import annotations

import numpy as np
import pytest

from separation.choice import choose
from separation.footprints import Group
from utils.errors import InputError


def room(*things):
    """Voxels `[V, 3]` and parts of them, the largest first; things: x, number of voxels, and what `Group` has.

    top_m: how high it is.
    """
    rng, voxels, parts = np.random.default_rng(0), [], []
    for x, count, about in things:
        about, top_m = {k: v for k, v in about.items() if k != "top_m"}, about.get("top_m", 1.7)
        start = sum(map(len, voxels))
        voxels.append(rng.uniform((x - 0.2, 0, -0.2), (x + 0.2, top_m, 0.2), (count, 3)))
        parts.append(Group(np.arange(start, start + count), **about))
    return np.concatenate(voxels), sorted(parts, key=lambda part: -len(part.members))


PERSON = {"score": 0.9, "head": 0.9, "head_m": 1.6}
THING = {"score": 0.1}


def names(parts, found):
    """The numbers of `found` among all parts."""
    return [next(n for n, part in enumerate(parts) if part.members is one.members) for one in found]


def test_persons_are_musicians_and_furniture_is_none():
    voxels, parts = room((0, 900, PERSON), (1.5, 1000, THING), (3, 500, PERSON))
    groups, pieces, others = choose(voxels, voxels[:, 1], parts, None)
    assert names(parts, groups) == [1, 2] and names(parts, others) == [0] and not pieces
    assert others[0].reason.startswith("something unlike a person at x = 1.5")


def test_where_nothing_is_like_a_person_size_decides():
    voxels, parts = room((0, 900, THING), (1.5, 800, THING), (3, 120, THING))
    assert names(parts, choose(voxels, voxels[:, 1], parts, None)[0]) == [0, 1]


def test_small_things_of_a_musicians_size_are_candidates_too():
    """A plant, or a musician half hidden, is no piece of the musician beside it."""
    voxels, parts = room((0, 900, PERSON), (1.0, 200, THING))
    _, pieces, others = choose(voxels, voxels[:, 1], parts, None)
    assert not pieces and names(parts, others) == [1]
    voxels, parts = room((0, 900, PERSON), (1.0, 200, THING | {"top_m": 1.2}))
    _, pieces, others = choose(voxels, voxels[:, 1], parts, None)
    assert names(parts, pieces) == [1] and not others  # a music stand


@pytest.mark.parametrize(("head", "expected"), [(0.9, [0, 1]), (0.1, [0])])
def test_what_has_no_musicians_size_needs_a_head(head, expected):
    odd = PERSON | {"head": head, "reason": "something 1.5 m high"}
    voxels, parts = room((0, 900, PERSON), (1.5, 600, odd))
    assert names(parts, choose(voxels, voxels[:, 1], parts, None)[0]) == expected


@pytest.mark.parametrize(
    ("count", "head", "apart_m", "expected"),
    [
        (400, 0.9, 0.5, [0, 1]),
        (200, 0.9, 0.5, [0]),
        (400, 0.2, 0.5, [0]),
        (400, 0.9, 0.3, [0]),
        (200, 0.2, 0.8, [0, 1]),
    ],
)
def test_halves_of_one_musician_are_joined(count, head, apart_m, expected):
    """Two that are near each other have both a head, and are about as large."""
    voxels, parts = room((0, 900, PERSON), (apart_m, count, PERSON | {"head": head}))
    assert names(parts, choose(voxels, voxels[:, 1], parts, None)[0]) == expected


def test_the_likeliest_are_taken_of_too_many_and_the_next_of_too_few():
    voxels, parts = room((0, 900, PERSON), (1.5, 900, PERSON | {"score": 0.6}), (3, 900, THING))
    groups, _, others = choose(voxels, voxels[:, 1], parts, 1)
    assert names(parts, groups) == [0] and others[0].reason == "a musician too many"
    assert names(parts, choose(voxels, voxels[:, 1], parts, 3)[0]) == [0, 1, 2]


def test_nobody():
    voxels, parts = room((0, 500, {"reason": "something 0.5 m high"}))
    with pytest.raises(InputError, match="no musician found, something 0.5 m high; is the vertical axis right"):
        choose(voxels, voxels[:, 1], parts, None)
