"""Scenes of synthetic musicians: as many are found as there are, and the points are theirs."""

from __future__ import annotations

import io
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from demo_data import bodies
from demo_data.plan import INSTRUMENTS
from PIL import Image

from separation.scene import cloud_for_model, split_scene
from separation.scene_picture import draw_scene
from separation.surroundings import import_open3d
from utils.errors import InputError

FLOOR, STRAY = -2, -1  # what else than a musician a point may be of


@pytest.fixture(autouse=True)
def needs_open3d(request):
    if "without_open3d" not in request.fixturenames:
        pytest.importorskip("open3d", reason="open3d cannot be imported: scenes are not tested", exc_type=ImportError)


def plane(rng, corner, along, across, noise_m, per_m2=700):
    """Points of a rectangle."""
    corner, along, across = (np.array(vector, float) for vector in (corner, along, across))
    normal = np.cross(along, across)
    count = int(np.linalg.norm(normal) * per_m2)
    u, v, w = rng.random((count, 1)), rng.random((count, 1)), rng.normal(0, noise_m, (count, 1))
    return corner + u * along + v * across + w * normal / np.linalg.norm(normal)


def make_scene(seed, count, spacing=(1.2, 1.8), floor=True, wall_m=None, strays=200, stands=0.2):
    """Musicians side by side, from left to right: points `[P, 3]` and whose they are `[P]`."""
    rng = np.random.default_rng(seed)
    xs = np.cumsum(rng.uniform(*spacing, count))
    xs -= xs.mean()
    half = abs(xs).max() + 1.2
    parts = []
    for k, x in enumerate(xs):
        performer = bodies.draw_performer(str(rng.choice(INSTRUMENTS)), rng)
        stand = rng.choice([-1.0, 1.0]) * rng.uniform(0.45, 0.6) if rng.random() < stands else None
        performer = replace(performer, offset_m=np.zeros(2), music_stand=stand)
        xyz, _ = bodies.cloud(performer, 0, rng)
        parts.append((xyz + (x, 0, rng.uniform(-0.3, 0.3)), k))
    if floor:
        parts.append((plane(rng, (-half, 0, -1.5), (2 * half, 0, 0), (0, 0, 3.5), 0.006), FLOOR))
    if wall_m:
        parts.append((plane(rng, (-half, 0, -wall_m), (2 * half, 0, 0), (0, 2.6, 0), 0.01), STRAY))
    parts.append((rng.uniform((-half, 0, -1.5), (half, 2.4, 2.0), (strays, 3)), STRAY))
    xyz = np.concatenate([part for part, _ in parts]).astype(np.float32)
    truth = np.concatenate([np.full(len(part), label) for part, label in parts])
    order = rng.permutation(len(xyz))
    return xyz[order], truth[order]


def share_right(scene, truth):
    """Of all points but the floor's."""
    return (scene.labels == truth)[truth != FLOOR].mean()


def box(low, size, count=4000):
    return (np.array(low) + np.random.default_rng(0).random((count, 3)) * size).astype(np.float32)


@pytest.mark.parametrize("seed", range(24))
def test_random_scenes(seed):
    count = 2 + seed % 3
    xyz, truth = make_scene(seed, count, wall_m=(None, 0.6, 1.5)[seed // 3 % 3])
    scene = split_scene(xyz)
    assert len(scene.musicians) == count
    assert share_right(scene, truth) >= 0.98
    assert scene.has_floor and abs(scene.floor_height_m) < 0.02
    for k, musician in enumerate(scene.musicians):
        own = xyz[truth == k]
        np.testing.assert_allclose(musician.centroid_m, own.mean(axis=0), atol=0.06)
        np.testing.assert_allclose(musician.size_m, np.ptp(np.percentile(own, (1, 99), axis=0), axis=0), atol=0.15)
        assert musician.num_points == (scene.labels == k).sum()


def test_colours_go_with_the_points():
    xyz, _ = make_scene(0, 2)
    rgb = np.random.default_rng(0).random(xyz.shape).astype(np.float32)
    scene = split_scene(xyz, rgb)
    for k, musician in enumerate(scene.musicians):
        np.testing.assert_array_equal(musician.rgb, rgb[scene.labels == k])
        np.testing.assert_array_equal(musician.xyz, xyz[scene.labels == k])


def test_the_same_every_time_and_in_any_order():
    xyz, _ = make_scene(1, 3, wall_m=1.0)
    labels = split_scene(xyz).labels
    np.testing.assert_array_equal(split_scene(xyz).labels, labels)
    order = np.random.default_rng(0).permutation(len(xyz))
    assert (split_scene(xyz[order]).labels == labels[order]).mean() > 0.995


@pytest.mark.parametrize("count", [1, 2, 3])
def test_without_a_floor(count):
    """Feet and the legs of chairs are no floor."""
    xyz, truth = make_scene(count, count, floor=False)
    scene = split_scene(xyz)
    assert len(scene.musicians) == count and share_right(scene, truth) >= 0.97
    assert not scene.has_floor and abs(scene.floor_height_m) < 0.1
    assert "floor" not in [part.reason for part in scene.left_out]


def test_a_tilted_floor_elsewhere():
    """The floor of each musician is that beneath it."""
    xyz, truth = make_scene(2, 2)
    slope = np.tan(np.radians(5))
    tilted = xyz + np.stack([0 * xyz[:, 0], slope * xyz[:, 0] - 1.3, 0 * xyz[:, 0]], axis=1)
    scene = split_scene(tilted.astype(np.float32))
    assert len(scene.musicians) == 2 and share_right(scene, truth) >= 0.98
    for musician in scene.musicians:
        assert musician.floor_m == pytest.approx(slope * musician.centroid_m[0] - 1.3, abs=0.02)
        assert abs(np.percentile(cloud_for_model(musician)[:, 1], 1)) < 0.1


def test_clouds_for_the_model_stand_at_the_origin():
    xyz, _ = make_scene(3, 2)
    for musician in split_scene(xyz + np.float32([5, 2, -3])).musicians:
        cloud = cloud_for_model(musician)
        assert cloud.dtype == np.float32 and cloud.shape == musician.xyz.shape
        np.testing.assert_allclose(cloud.mean(axis=0)[[0, 2]], 0, atol=1e-3)
        assert abs(cloud[:, 1].min()) < 0.06


@pytest.mark.parametrize("seed", range(4))
def test_musicians_that_touch(seed):
    count = 2 + seed % 2
    xyz, truth = make_scene(seed, count, spacing=(0.6, 0.6), stands=0)
    scene = split_scene(xyz, num_sources=count)
    assert len(scene.musicians) == count
    assert share_right(scene, truth) >= 0.8
    xs = [musician.centroid_m[0] for musician in scene.musicians]
    assert xs == sorted(xs)


@pytest.mark.parametrize("told", [1, 2, 3, 4])
def test_as_many_as_are_told(told):
    xyz, truth = make_scene(4, 4, strays=0)
    scene = split_scene(xyz, num_sources=told)
    assert len(scene.musicians) == told
    sizes = sorted((truth == k).sum() for k in range(4))
    spare = [part for part in scene.left_out if part.reason.endswith(": a musician too many")]
    assert len(spare) == 4 - told
    assert sum(part.num_points for part in spare) == pytest.approx(sum(sizes[: 4 - told]), rel=0.25)


def test_what_is_left_out_is_told():
    xyz, truth = make_scene(5, 2, wall_m=1.5)
    crate = box((xyz[truth == 1, 0].max() + 1.0, 0, 0), (0.6, 0.6, 0.6))
    scene = split_scene(np.concatenate([xyz, crate]))
    assert len(scene.musicians) == 2
    assert (scene.labels[len(xyz) :] == -1).all()
    left_out = {part.reason.partition(" at ")[0].partition(": ")[2] or part.reason: part for part in scene.left_out}
    assert set(left_out) == {"floor", "walls", "something 0.6 m high", "stray points"}
    np.testing.assert_allclose(left_out["something 0.6 m high"].centroid_m, crate.mean(axis=0), atol=0.1)
    assert left_out["floor"].num_points >= 0.98 * (truth == FLOOR).sum()
    total = sum(part.num_points for part in scene.left_out)
    assert total + sum(musician.num_points for musician in scene.musicians) == len(xyz) + len(crate)


def test_a_music_stand_belongs_to_the_nearest():
    xyz, truth = make_scene(6, 2, spacing=(1.8, 1.8), stands=1)
    scene = split_scene(xyz)
    assert len(scene.musicians) == 2 and share_right(scene, truth) >= 0.98


RNG = np.random.default_rng(0)
ROOM = plane(RNG, (-3, 0, -2), (6, 0, 0), (0, 0, 4), 0.01).astype(np.float32)
STRAYS = RNG.uniform(-2, 2, (300, 3)).astype(np.float32)
NOBODY = [
    ("empty", np.zeros((0, 3), np.float32), None, "the scene holds no points"),
    ("one point", np.zeros((1, 3), np.float32), None, "no musician found"),
    ("one place", np.ones((5000, 3), np.float32), None, "no musician found"),
    ("floor", ROOM, None, r"no musician found; is the vertical axis right \(--up\)"),
    ("floor and strays", np.concatenate([ROOM, STRAYS]), 2, "no musician found"),
    ("strays", STRAYS, None, "no musician found"),
    ("crate", np.concatenate([ROOM, box((0, 0, 0), (0.5, 0.5, 0.5))]), None, "no musician found, something 0.5 m high"),
    (
        "crowd",
        np.concatenate([ROOM, box((-2, 0, 0), (4, 1.8, 1), 40000)]),
        None,
        "no musician found, something 3.9 m wide",
    ),
    ("one as two", make_scene(1, 1)[0], 2, r"1 musician\(s\) found, and no way to make them 2; lower --num_sources"),
    ("two as nine", make_scene(1, 2)[0], 9, r"2 musician\(s\) found, and no way to make them 9; lower --num_sources"),
    ("millimetres", make_scene(1, 2)[0] * 1000, None, "more than 1000 m apart: is the scene in metres"),
    ("far away", np.concatenate([ROOM, np.float32([[1e30, 0, 0]])]), None, "more than 1000 m apart"),
]


@pytest.mark.parametrize(("name", "xyz", "told", "expected"), NOBODY, ids=[case[0] for case in NOBODY])
def test_scenes_without(capfd, name, xyz, told, expected):
    with pytest.raises(InputError, match=expected) as caught:
        split_scene(xyz, num_sources=told)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_million_points():
    xyz, truth = make_scene(7, 4, wall_m=1.0)
    rng = np.random.default_rng(0)
    copies = -(-1_000_000 // len(xyz))
    dense = np.concatenate([xyz + rng.normal(0, 0.004, xyz.shape).astype(np.float32) for _ in range(copies)])
    start = time.monotonic()
    scene = split_scene(dense)
    assert time.monotonic() - start < 30  # about 3 on one core
    assert len(scene.musicians) == 4
    assert share_right(scene, np.tile(truth, copies)) >= 0.98


def test_other_candidates_may_be_taken():
    xyz, truth = make_scene(5, 2, wall_m=1.5)
    crate = box((xyz[truth == 1, 0].max() + 1.0, 0, 0), (0.6, 0.6, 0.6))
    scene = split_scene(np.concatenate([xyz, crate]))
    assert scene.taken == (0, 1) and len(scene.candidates) == 3
    assert min(scene.candidates[k].score for k in (0, 1)) > scene.candidates[2].score
    other = scene.with_taken([2, 0])
    assert other.taken == (0, 2) and len(other.musicians) == 2
    np.testing.assert_array_equal(other.labels == 0, scene.labels == 0)
    assert other.musicians[1].num_points == pytest.approx(len(crate), rel=0.25)
    assert "candidate 2: not wanted" in [part.reason for part in other.left_out]
    for wrong, reason in (
        ([3], "no candidate 4; there are 1 to 3"),
        ([-1], "no candidate 0"),
        ([], "no candidate is left"),
    ):
        with pytest.raises(InputError, match=reason):
            scene.with_taken(wrong)


def test_picture():
    xyz, _ = make_scene(8, 3)
    scene = split_scene(xyz)
    figure = draw_scene(scene, ["cello", "violin", "guitar"])
    above, front = figure.axes
    assert (above.get_aspect(), front.get_aspect()) == (1, 1)
    assert above.yaxis_inverted() and not front.yaxis_inverted()
    for axes in (above, front):
        found = zip(range(1, 4), ["cello", "violin", "guitar"], scene.candidates, strict=True)
        assert [text.get_text() for text in axes.texts] == [f"{n} {name} {one.score:.2f}" for n, name, one in found]
        low, high = axes.get_xlim()
        assert all(low < musician.centroid_m[0] < high for musician in scene.musicians)
    stream = io.BytesIO()
    figure.savefig(stream, dpi=50)
    with Image.open(stream) as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(2**20)}
    assert {(31, 119, 180), (255, 127, 14), (44, 160, 44)} <= colours  # of the three musicians


def test_what_is_left_out_has_its_score_and_a_colour():
    xyz, _ = make_scene(5, 2)
    crate = box((xyz[:, 0].max() + 1.0, 0, 0), (0.6, 0.6, 0.6))
    scene = split_scene(np.concatenate([xyz, crate]))
    assert len(scene.candidates) == 3
    figure = draw_scene(scene, ["cello", "violin"])
    label = f"3 left out {scene.candidates[2].score:.2f}"
    assert [axes.texts[2].get_text() for axes in figure.axes] == [label] * 2
    drawn = figure.axes[0].collections[0].get_facecolors()
    assert len(np.unique(drawn, axis=0)) == 4  # two musicians, what is left out, the rest


@pytest.fixture
def without_open3d(monkeypatch):
    monkeypatch.delitem(sys.modules, "open3d", raising=False)


def test_open3d_is_not_there(without_open3d, monkeypatch):
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(InputError, match="scenes need open3d .*; pip install open3d"):
        import_open3d()


def test_open3d_lacks_libraries(without_open3d, monkeypatch, tmp_path):
    (tmp_path / "open3d.py").write_text("raise ImportError('libusb-1.0.so.0: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="libusb.*sudo apt-get install libusb-1.0-0 libgl1 libgomp1"):
        import_open3d()
