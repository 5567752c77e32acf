"""Heads over shoulders are found on the demo's bodies, and not on furniture."""

from __future__ import annotations

import numpy as np
import pytest
from demo_data import bodies, furniture
from demo_data.camera import Camera, photograph
from demo_data.plan import INSTRUMENTS
from demo_data.shapes import Frame

from separation.heads import describe, find_heads, profile

CAMERA = Camera(1.4, 3.5, np.array([0.3, 0.5, 0.8]), np.ones(3))


def best(xyz):
    heads = find_heads(xyz.astype(float), xyz[:, 1].astype(float))
    return heads[0] if heads else None


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_musicians_have_one(instrument):
    scores = []
    for seed in range(500, 508):
        rng = np.random.default_rng(seed)
        performer = bodies.draw_performer(instrument, rng)
        head = best(bodies.cloud(performer, 0, rng)[0])
        scores.append(head.score if head else 0.0)
    assert np.median(scores) > 0.8 and sum(score > 0.5 for score in scores) >= 7


@pytest.mark.parametrize(
    "make", [furniture.loudspeaker, furniture.upright_piano, furniture.panel, furniture.sofa, furniture.table]
)
def test_furniture_has_none(make):
    scores = []
    for seed in range(500, 508):
        rng = np.random.default_rng(seed)
        head = best(photograph(make(rng), Frame(np.zeros(3), np.eye(3)), CAMERA, rng)[0])
        scores.append(head.score if head else 0.0)
    assert np.median(scores) < 0.3


def test_widths_are_those_of_the_shape():
    """Of a cylinder 0.2 m wide on one of 0.5 m."""
    rng = np.random.default_rng(0)
    angle, depth = rng.uniform(0, 2 * np.pi, 20000), rng.uniform(0, 0.5, 20000)
    radius = np.where(depth < 0.25, 0.1, 0.25) * np.sqrt(rng.random(20000))
    widths = profile(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), depth)
    np.testing.assert_allclose(widths[:3].max(axis=1), 0.2, atol=0.04)
    np.testing.assert_allclose(widths[5:].max(axis=1), 0.5, atol=0.04)
    assert describe(widths)["shoulders"] == pytest.approx(0.5, abs=0.06)


def test_where_there_is_nobody():
    assert find_heads(np.zeros((0, 3)), np.zeros(0)) == []
    assert find_heads(np.ones((500, 3)), np.full(500, 0.2)) == []
