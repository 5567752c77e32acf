"""What things stand on: floors, platforms and their fronts, meadows."""

from __future__ import annotations

import numpy as np
import pytest

from separation.ground import find_ground
from separation.surroundings import Plane

RNG = np.random.default_rng(0)
FLOOR = Plane(np.array([0.0, 1.0, 0.0]), 0.0, 36.0)
LEVEL = RNG.uniform((-3, -0.005, -3), (3, 0.005, 3), (20000, 3))


def rectangle(low, high, count=6000):
    return RNG.uniform(low, high, (count, 3))


def test_a_floor_alone():
    ground = find_ground(LEVEL, FLOOR)
    assert ground.platforms == ground.steps == [] and ground.relief is None
    assert ground.holds(LEVEL).all() and ground.covers(LEVEL).all()
    assert ground.below(1, 1) == 0
    people = rectangle((-0.3, 0.2, -0.3), (0.3, 1.7, 0.3))
    assert not ground.holds(people).any()
    np.testing.assert_allclose(ground.height(people), people[:, 1])


def test_a_platform():
    top = rectangle((-2, 0.395, -2.5), (2, 0.405, -1))
    front = rectangle((-2, 0.0, -1.005), (2, 0.4, -0.995), 3000)
    person = rectangle((-0.3, 0.6, -2), (0.3, 2.1, -1.5))
    ground = find_ground(np.concatenate([LEVEL, top, front, person]), FLOOR)
    assert len(ground.platforms) == 1 and ground.below(0, -1.8) == pytest.approx(0.4, abs=0.01)
    assert ground.below(0, 1) == 0
    assert ground.covers(top).mean() > 0.99 and ground.covers(front).mean() > 0.99 and not ground.covers(person).any()
    np.testing.assert_allclose(ground.height(person), person[:, 1] - 0.4, atol=0.01)


def test_a_platform_of_which_the_front_alone_is_seen():
    front = rectangle((-2, 0.0, -1.005), (2, 0.4, -0.995), 3000)
    ground = find_ground(np.concatenate([LEVEL, front]), FLOOR)
    assert ground.platforms == [] and len(ground.steps) == 1
    assert ground.holds(front).mean() > 0.99
    assert not ground.holds(front + (0, 0.6, 0)).any() and not ground.holds(front + (0, 0.1, 0.3)).any()


@pytest.mark.parametrize("height", [0.72, 0.45])
def test_tables_and_stools_are_no_platforms(height):
    size = 0.7 if height > 0.6 else 0.4
    top = rectangle((-size, height - 0.005, -size), (size, height + 0.005, size))
    ground = find_ground(np.concatenate([LEVEL, top]), FLOOR)
    assert ground.platforms == [] and not ground.holds(top).any()


def test_a_meadow():
    x, z = RNG.uniform(-3, 3, (2, 30000))
    hill = 0.12 * np.sin(1.3 * x) * np.cos(0.9 * z)
    meadow = np.stack([x, hill + RNG.exponential(0.01, 30000), z], axis=1)
    ground = find_ground(meadow, FLOOR)
    assert ground.relief is not None and ground.holds(meadow).mean() > 0.9
    assert ground.below(1.2, 0) == pytest.approx(0.12, abs=0.06)
    person = rectangle((0.9, 0.4, -0.3), (1.5, 1.8, 0.3))
    assert not ground.holds(person).any()
