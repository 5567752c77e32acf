"""OFF meshes in all their forms, and points on their surface."""

from __future__ import annotations

import re

import numpy as np
import pytest

from dataset.cache import Cache
from dataset.labelled import LabelledClouds
from dataset.meshes import MOST_WIDTH_M, SURFACE_POINTS, read_off, read_surface, sample_surface, upright
from dataset.settings import VoxelSettings
from utils.errors import InputError

CORNERS = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n0 0 1\n"
PYRAMID = f"OFF\n5 5 0\n{CORNERS}4 0 1 2 3\n3 0 1 4\n3 1 2 4\n3 2 3 4\n3 3 0 4\n"
FLOOR = [[0, 1, 2], [0, 2, 3]]
SIDES = [[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]]
SQUARE = "OFF\n4 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n"


@pytest.fixture
def off(tmp_path):
    """Writes an OFF file -> its path."""

    def write(text, name="mesh.off"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.mark.parametrize(
    "text",
    [
        PYRAMID,
        PYRAMID.replace("OFF\n", "OFF"),
        PYRAMID.replace("OFF\n5", "OFF 5"),
        PYRAMID.replace("\n", "\r\n"),
        PYRAMID.replace("\n", "\r"),
        PYRAMID.replace("\n", "  \n\n\t"),
        "# made by hand\n" + PYRAMID.replace("5 5 0\n", "# counts\n5 5 0 # no edges\n\n"),
        PYRAMID.replace("4 0 1 2 3", "4 0 1 2 3 255 0 0").replace("3 0 1 4", "3  0 1 4 0.5 0.5 0.5 1"),
        PYRAMID.replace("5 5 0", "5 7 0") + "2 0 1\n1 3\n",
        PYRAMID.replace("5 5 0", "5 5 8") + "0 1\n1 2\n",
        PYRAMID.strip(),
        PYRAMID.replace("1 1 0", "1.0e0 +1 -0."),
    ],
    ids=[
        *("plain", "glued", "one-line", "crlf", "cr", "blank", "comments", "colours", "edges", "more", "no-newline"),
        "floats",
    ],
)
def test_forms(off, text):
    vertices, triangles = read_off(off(text))
    assert vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert sorted(triangles.tolist()) == sorted(FLOOR + SIDES)


def test_polygons_become_fans(off):
    angles = 2 * np.pi * np.arange(7) / 7
    rows = "".join(f"{x} {y} 0\n" for x, y in zip(np.cos(angles), np.sin(angles), strict=True))
    text = f"OFF\n7 2 0\n{rows}7 0 1 2 3 4 5 6\n7 0 1 2 3 4 5 6\n"
    _, triangles = read_off(off(text))
    assert triangles[:5].tolist() == [[0, k, k + 1] for k in range(1, 6)] == triangles[5:].tolist()


@pytest.mark.parametrize(
    ("kind", "more"), [("COFF", 4), ("COFF", 3), ("NOFF", 3), ("CNOFF", 7), ("STOFF", 2), ("STCNOFF", 9), ("OFF", 4)]
)
@pytest.mark.parametrize("colour", ["", " 255 0 0"])
def test_vertices_with_normals_and_colours(off, kind, more, colour):
    corners = [[0, 0, 0], [1, 0, 0], [1, 1, 0.5], [0, 1, 0]]
    rows = "".join(" ".join(map(str, [*corner, *range(5, 5 + more)])) + "\n" for corner in corners)
    vertices, triangles = read_off(off(f"{kind}\n4 2 0\n{rows}4 0 1 2 3{colour}\n3 0 1 2{colour}\n"))
    assert vertices.tolist() == corners
    assert sorted(triangles.tolist()) == [[0, 1, 2], [0, 1, 2], [0, 2, 3]]


def test_points_lie_on_the_surface_in_proportion_to_its_area():
    """A large triangle in the plane z = 0 and a small one in z = 1, of 9 and 1 parts of the area, one of none."""
    large = [[0, 0, 0], [6, 0, 0], [0, 3, 0]]
    small = [[0, 0, 1], [2, 0, 1], [0, 1, 1]]
    none = [[0, 0, 2], [1, 1, 2], [2, 2, 2]]
    count = 20000
    points = sample_surface(np.array([none, large, small], dtype=float), count, np.random.default_rng(0))
    on_large = points[:, 2] == 0
    assert set(points[:, 2]) == {0, 1} and abs(on_large.mean() - 0.9) < 4 * np.sqrt(0.9 * 0.1 / count)
    x, y = points[on_large, :2].T
    assert (x >= 0).all() and (y >= 0).all() and (x / 6 + y / 3 <= 1 + 1e-12).all()
    np.testing.assert_allclose([x.mean(), y.mean()], [2, 1], rtol=0.02)  # the centroid
    assert abs((x / 6 + y / 3 < 0.5).mean() - 0.25) < 0.02  # a quarter of the area


def test_upright():
    """A box 2 wide, 4 deep, 5 high with Z up, somewhere: it is turned, set on the floor and made 1 m high."""
    corners = np.array(
        [[[9, 20, 30], [11, 20, 30], [9, 24, 30]], [[9, 20, 35], [11, 24, 35], [11, 20, 30]]], dtype=float
    )
    placed = upright(corners)
    np.testing.assert_allclose(placed.min(axis=(0, 1)), [-0.2, 0, -0.4])
    np.testing.assert_allclose(placed.max(axis=(0, 1)), [0.2, 1, 0.4])
    np.testing.assert_allclose(placed[0, 2], [-0.2, 0, -0.4])  # +y was away from the viewer, who now sees -z there
    normal, turned = (np.cross(c[1] - c[0], c[2] - c[0]) for c in (corners[1], placed[1]))
    np.testing.assert_allclose(turned * 125 / 5, [normal[0], normal[2], -normal[1]])  # turned, not mirrored


def test_flat_meshes_keep_to_their_width():
    corners = np.array([[[0, 0, 0], [10, 0, 0], [0, 5, 0.1]]])
    placed = upright(corners)
    np.testing.assert_allclose(np.ptp(placed, axis=(0, 1)), [MOST_WIDTH_M, 0.01 * MOST_WIDTH_M, MOST_WIDTH_M / 2])
    np.testing.assert_allclose(np.ptp(upright(corners * [1, 1, 0]), axis=(0, 1)), [MOST_WIDTH_M, 0, MOST_WIDTH_M / 2])


def test_the_surface_of_a_file(off):
    points = read_surface(off(PYRAMID.replace("0 0 1\n", "0 0 2\n")))
    assert points.shape == (SURFACE_POINTS, 3) and points.dtype == np.float32
    x, y, z = points.T
    np.testing.assert_allclose([x.min(), x.max(), z.min(), z.max()], [-0.25, 0.25, -0.25, 0.25], atol=0.01)
    assert y.min() == 0 and 0.97 < y.max() <= 1
    apex = points[y > 0.95].mean(axis=0)
    np.testing.assert_allclose(apex[[0, 2]], [-0.25, 0.25], atol=0.02)  # (0, 0) is left and, with z = -y, in front
    np.testing.assert_array_equal(points, read_surface(off(PYRAMID.replace("0 0 1\n", "0 0 2\n"), "other.off")))


def test_the_cache_keeps_the_surface(off, tmp_path, monkeypatch):
    path, cache = off(PYRAMID), Cache(tmp_path / "cache")
    np.testing.assert_array_equal(cache.read_surface(path), read_surface(path))
    monkeypatch.setattr("dataset.cache.read_surface", None)
    np.testing.assert_array_equal(cache.read_surface(path), read_surface(path))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("hello\n", "its header is not OFF"),
        ("ply\nformat ascii 1.0\n", "its header is not OFF"),
        ("OFF\n", "its header is not OFF"),
        ("OFF\n5 5\n", "its header is not OFF"),
        ("OFF\n5.5 5 0\n", "its header is not OFF"),
        (b"OFF BINARY\n\x00\x01\xff", "its header is not OFF"),
        ("OFF\n0 0 0\n", "0 vertices and 0 faces"),
        ("OFF\n-4 2 0\n", "-4 vertices"),
        (SQUARE.replace("4 2 0", "4 0 0"), "4 vertices and 0 faces"),
        (PYRAMID[:30], "it is truncated"),
        (PYRAMID[: PYRAMID.index("3 2 3 4")], "it is truncated"),
        (PYRAMID[: PYRAMID.index("3 0 4")], "truncated"),
        (PYRAMID.replace("5 5 0", f"5 {10**30} 0"), "it is truncated"),
        (PYRAMID.replace("1 1 0", "1 x 0"), "cannot be read"),
        (PYRAMID.encode() + b"\x00\xff", "cannot be read"),
        (PYRAMID.replace("1 1 0", "1 nan 0"), "NaN or infinite"),
        (PYRAMID.replace("1 1 0", "1 1e999 0"), "NaN or infinite"),
        (PYRAMID.replace("3 0 1 4", "3 0 1 5"), "none of its 5 vertices"),
        (PYRAMID.replace("3 0 1 4", "3 0 1 -1"), "none of its 5 vertices"),
        (PYRAMID.replace("3 0 1 4", "3 0 1 1.5"), "none of its 5 vertices"),
        (PYRAMID.replace("3 0 1 4", "3 0 1 nan"), "none of its 5 vertices"),
        (PYRAMID.replace("4 0 1 2 3", "6 0 1 2 3"), "fewer or more corners"),
        (PYRAMID.replace("4 0 1 2 3", "-1 0 1 2 3"), "fewer or more corners"),
        (PYRAMID.replace("4 0 1 2 3", "nan 0 1 2 3"), "fewer or more corners"),
        (PYRAMID.replace("4 0 1 2 3", "1e300 0 1 2 3"), "fewer or more corners"),
        (SQUARE + "2 0 1\n2 1 2\n", "no face has three corners"),
        (SQUARE + "3 0 1 1\n3 2 2 2\n", "the mesh has no area"),
        (SQUARE + "3 0 0 0\n3 0 0 0\n", "cannot be made 1 m high"),
        (SQUARE.replace("1", "1e308").replace("0 0 0", "-1e308 0 0") + "3 0 1 2\n3 0 2 3\n", "cannot be made 1 m high"),
    ],
)
def test_bad_files_are_one_line(off, text, reason):
    path = off(text)
    with pytest.raises(InputError, match=f"^{re.escape(path)}: .*{reason}") as error:
        read_surface(path)
    assert "\n" not in str(error.value)


def test_what_is_no_file(tmp_path):
    for path, reason in ((tmp_path / "none.off", "no such file"), (tmp_path, "a folder, not a file")):
        with pytest.raises(InputError, match=reason):
            read_off(str(path))


@pytest.fixture
def classes(off, tmp_path):
    for name in ("a", "b"):
        for part in ("train", "test"):
            (tmp_path / name / part).mkdir(parents=True)
            off(PYRAMID, f"{name}/{part}/one.off")
            off(PYRAMID.replace("\n0 0 1\n", "\n0 0 9\n"), f"{name}/{part}/two.OFF")
            off("of a Macintosh", f"{name}/{part}/._one.off")
    (tmp_path / ".DS_Store").mkdir()
    return tmp_path


def labelled(root, part="train", **settings):
    settings = {"voxels": VoxelSettings(0.05, colours=False), "augment": 1.0, "seed": 3, "num_points": 500, **settings}
    return LabelledClouds(root, part, **settings)


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a[0], b[0], strict=True)) and a[1] == b[1]


def test_samples_depend_on_seed_epoch_and_index(classes):
    clouds = labelled(classes)
    assert clouds.classes == ["a", "b"] and [label for _, label in clouds.items] == [0, 0, 1, 1]
    assert [path.name for path, _ in clouds.items] == ["one.off", "two.OFF"] * 2
    assert equal(clouds[1, 2], labelled(classes)[1, 2])
    assert equal(clouds[1, 2], labelled(classes, cache=str(classes / ".cache"))[1, 2])
    for other in (clouds[2, 2], labelled(classes, seed=4)[1, 2]):
        assert not equal(clouds[1, 2], other)
    assert not equal(clouds[1, 0], (clouds[1, 2][0], 0))  # the same mesh as another sample


def test_tests_are_not_augmented(classes):
    (coordinates, features), label = labelled(classes, "test")[0, 3]
    assert label == 1 and 0 < len(features) <= 500
    assert features[:, 1].min() >= 0 and 0.9 < features[:, 1].max() <= 1
    np.testing.assert_array_equal(coordinates, np.floor(features.astype(float) / 0.05))


def test_meshes_have_no_colours(classes):
    found = labelled(classes, voxels=VoxelSettings(0.05, colours=True))[0, 0]
    assert "has no colours; use --rgbs_feature 0" in str(found)


def test_the_fingerprint_is_of_names(classes, off):
    before = labelled(classes).fingerprint()
    assert before == labelled(classes).fingerprint() == labelled(classes, "test").fingerprint()
    (classes / "a").rename(classes / "aa")
    assert labelled(classes).fingerprint() != before
