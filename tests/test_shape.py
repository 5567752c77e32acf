"""The shapes of boxes, screens, barrels and leaves are told apart by numbers."""

from __future__ import annotations

import numpy as np
import pytest

from separation.shape import bends, describe

GRID = 0.03


def grid(width, height):
    u, v = np.meshgrid(np.arange(0, width, GRID), np.arange(0, height, GRID))
    return u.ravel(), v.ravel()


def screen(width=0.9, height=1.8):
    u, v = grid(width, height)
    return np.stack([u, v, 0 * u], axis=1)


def box(width=0.9, height=1.8):
    u, v = grid(width, height)
    return np.concatenate([screen(width, height), np.stack([0 * u, v, u], axis=1)])


def barrel(radius=0.3, height=1.8):
    u, v = grid(np.pi, height)
    return np.stack([radius * np.cos(u), v, radius * np.sin(u)], axis=1)


def leaves(height=1.8):
    rng = np.random.default_rng(0)
    return rng.uniform((-0.4, 0, -0.4), (0.4, height, 0.4), (1500, 3))


def of(shape):
    return bends(shape, 0.2)


def test_how_surfaces_bend():
    across = "across the surface, percentile 50"
    assert of(screen())[across] == pytest.approx(0, abs=1e-6)
    assert of(screen())[across] < of(barrel())[across] < of(leaves())[across]
    assert of(screen())["upright surface one way"] > 0.99
    assert of(box())["upright surface one way"] < 0.3 and of(box())["upright surface two ways"] > 0.7
    assert of(barrel())["upright surface two ways"] < 0.3
    level = screen()[:, [0, 2, 1]]
    assert of(level)["share of slope 0.85"] > 0.99 and of(screen())["share of slope 0.0"] > 0.99
    post = np.stack([np.zeros(60), np.arange(60) * GRID, np.zeros(60)], axis=1)
    assert of(post)["like a line, percentile 50"] > 0.99


def test_lone_voxels_have_no_surface():
    assert set(bends(np.eye(3) * 5, 0.1).values()) == {0.0}
    found = describe(np.zeros((1, 3)), np.zeros(1))
    assert np.isfinite(list(found.values())).all()


@pytest.mark.parametrize("angle", [0.3, 1.2, 2.5])
def test_from_whichever_side(angle):
    """Turned about the vertical axis and moved, a thing is described as before."""
    rng = np.random.default_rng(1)
    shape = barrel() * (1.5, 1, 1) + rng.normal(0, 0.003, barrel().shape)
    cos, sin = np.cos(angle), np.sin(angle)
    turned = shape @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]) + (3, 0, -2)
    first, second = describe(shape, shape[:, 1]), describe(turned, turned[:, 1])
    for name, value in first.items():
        if name not in ("edge", "filled"):  # counted in cells
            assert second[name] == pytest.approx(value, abs=0.02), name


def test_widths_and_heights():
    """A head of 0.2 m on a trunk of 0.5 m."""
    head, trunk = screen(0.2, 0.3) + (0.15, 1.5, 0), screen(0.5, 1.5)
    shape = np.concatenate([head, trunk])
    found = describe(shape, shape[:, 1])
    assert found["top"] == pytest.approx(1.74, abs=0.05) and found["width"] == pytest.approx(0.48, abs=0.02)
    assert found["depth"] == pytest.approx(0, abs=1e-6)
    assert found["width 0.1 m below the top"] == pytest.approx(0.18, abs=0.02)
    assert found["width 0.5 m below the top"] == pytest.approx(0.45, abs=0.03)
    assert found["width of zone 0"] == pytest.approx(0.45, abs=0.03)
    assert sum(found[f"share of zone {k}"] for k in range(8)) == pytest.approx(1)
    holed = shape[(shape[:, 1] / 0.12).astype(int) % 2 == 0]
    assert describe(holed, holed[:, 1])["edge"] > 1.5 * found["edge"]
