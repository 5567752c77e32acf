"""What the weights of heads and persons are fitted to, and that the stored weights are of what is measured."""

from __future__ import annotations

from pathlib import Path

import fit_people
import numpy as np
import pytest
from benchmarks.rooms import KINDS, draw_room

from separation import heads, people
from separation.footprints import Group
from separation.heads import HEAD
from separation.people import PERSON
from separation.room import clear

SEPARATION = Path(people.__file__).parent


@pytest.fixture(scope="module")
def piano():
    pytest.importorskip("open3d", reason="open3d cannot be imported", exc_type=ImportError)
    room = draw_room("grand piano", 0)
    return room, clear(room.xyz)


def test_stored_weights_are_of_what_is_measured():
    voxels = np.random.default_rng(0).uniform((-0.3, 0, -0.2), (0.3, 1.7, 0.2), (800, 3))
    assert PERSON.names == tuple(people.measure(voxels, voxels[:, 1], Group(np.arange(800))))
    widths = np.full((len(heads.DEPTHS_M), heads.DIRECTIONS), 0.2)
    assert HEAD.names == tuple(heads.describe(widths))
    for name in ("heads", "people"):
        text = (SEPARATION / f"{name}.txt").read_text()
        assert text.startswith(f"# Written by scripts/fit_people.py {name} --scenes ")


def test_a_piano_is_no_person(piano):
    found = fit_people.parts_of(*piano)
    assert sorted({owner for _, owner in found}) == [-1, 0, 1]
    widest = max(found, key=lambda one: one[0]["width"])
    assert widest[1] == -1 and widest[0]["width"] > 0.9
    counts = [sum(owner == k for _, owner in found) for k in (0, 1)]
    assert all(1 <= count <= 2 for count in counts) and sum(counts) > 2  # whole, and one half hidden


def test_heads_are_chosen_by_what_is_fitted(piano):
    found = fit_people.heads_of(*piano)
    model, measures, labels = fit_people.fit_heads([found])
    assert labels.sum() == len({owner for _, owner in found if owner >= 0}) == 2
    scores = np.array([model(one) for one in measures])
    assert scores[labels].min() > scores[~labels].max()


def test_the_same_weights_again(piano):
    first, second = (fit_people.fit_people([fit_people.parts_of(*piano)])[0] for _ in range(2))
    assert first.text("") == second.text("")


def test_scenes_of_the_fit_are_others_than_those_of_the_benchmark(piano):
    assert fit_people.FIRST_SEED >= 1000
    room = fit_people.draw(0, list(KINDS).index("grand piano"))
    assert (room.truth == -1).any() and room.count == 2  # furniture was added
