"""Clouds: every kind of PLY, voxels by their definition, augmentations that are what they say."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from conftest import write_cloud
from plyfile import PlyData, PlyElement
from scipy.spatial.transform import Rotation

from dataset import ply, point_transforms
from dataset.point_transforms import DARKEST, PointAugmentation, shift_hsv
from dataset.points import read_cloud
from dataset.settings import VoxelSettings
from dataset.voxels import load_voxels, voxelise
from utils.errors import InputError
from utils.seeding import generator

RNG = np.random.default_rng(0)
XYZ = RNG.uniform(-1, 1, (50, 3)).astype(np.float32)
RGB = RNG.integers(0, 256, (50, 3))


@pytest.mark.parametrize("options", [{}, {"text": True}, {"byte_order": ">"}, {"byte_order": "<"}])
def test_encodings(tmp_path, options):
    write_cloud(tmp_path / "a.ply", XYZ, RGB, **options)
    xyz, rgb = read_cloud(str(tmp_path / "a.ply"))
    assert xyz.dtype == rgb.dtype == np.float32
    np.testing.assert_allclose(xyz, XYZ, atol=1e-6)
    np.testing.assert_allclose(rgb, RGB / 255, atol=1e-6)


def test_doubles_and_further_properties(tmp_path):
    vertices = np.zeros(2, dtype=[("nx", "f4"), ("x", "f8"), ("y", "f8"), ("z", "f8"), ("alpha", "u1")])
    vertices["y"] = [1.5, 2.5]
    faces = np.zeros(1, dtype=[("vertex_indices", "i4", (3,))])
    PlyData([PlyElement.describe(vertices, "vertex"), PlyElement.describe(faces, "face")]).write(tmp_path / "a.ply")
    xyz, rgb = read_cloud(str(tmp_path / "a.ply"))
    assert rgb is None
    assert xyz.tolist() == [[0, 1.5, 0], [0, 2.5, 0]]


TYPES = {"uchar": "u1", "int16": "i2", "ushort": "u2", "int": "i4", "int64": "i8", "float": "f4", "float64": "f8"}


@pytest.mark.parametrize("order", ["little", "big"])
def test_usual_files_are_read_without_plyfile_and_alike(tmp_path, monkeypatch, order):
    """Every type, comments and further properties; the last byte of the header is followed by points at once."""
    names = ["x", "y", "z", "red", "green", "blue", "nx", "label"]
    for kind, dtype in TYPES.items():
        kinds = ["float", "double", "float32", kind, kind, kind, "double", "char"]
        header = f"ply\nformat binary_{order}_endian 1.0\ncomment Created by Open3D\nobj_info none\nelement vertex 50\n"
        header += "".join(f"property {k} {name}\n" for k, name in zip(kinds, names, strict=True)) + "end_header\n"
        types = ["f4", "f8", "f4", dtype, dtype, dtype, "f8", "i1"]
        fields = [("<>"[order == "big"] + t, name) for t, name in zip(types, names, strict=True)]
        vertices = np.zeros(50, dtype=[(name, t) for t, name in fields])
        for n, axis in enumerate("xyz"):
            vertices[axis] = XYZ[:, n]
        for n, channel in enumerate(("red", "green", "blue")):
            vertices[channel] = RGB[:, n] if dtype[0] != "f" else RGB[:, n] / 255
        path = tmp_path / f"{kind}.ply"
        path.write_bytes(header.encode() + vertices.tobytes())
        by_plyfile = PlyData.read(path)["vertex"].data if kind != "int64" else vertices  # which it does not know
        with monkeypatch.context() as patch:
            patch.setattr(ply.PlyData, "read", None)
            xyz, rgb = read_cloud(str(path))
        assert rgb.dtype == np.float32
        for n, (axis, channel) in enumerate(zip("xyz", ("red", "green", "blue"), strict=True)):
            np.testing.assert_array_equal(xyz[:, n], by_plyfile[axis].astype(np.float32))
            full = 255 if dtype[0] != "f" else 1
            np.testing.assert_allclose(rgb[:, n], by_plyfile[channel] / full, rtol=1e-6)


def test_missing_depth_is_left_out(tmp_path):
    holes = XYZ.copy()
    holes[3, 1], holes[7, 2] = np.nan, np.inf
    write_cloud(tmp_path / "a.ply", holes, RGB)
    xyz, rgb = read_cloud(str(tmp_path / "a.ply"))
    assert len(xyz) == len(rgb) == 48


def bad_files(folder):
    write_cloud(folder / "whole.ply", XYZ, RGB)
    data = (folder / "whole.ply").read_bytes()
    (folder / "truncated.ply").write_bytes(data[:-100])
    (folder / "header.ply").write_bytes(data[:40])
    (folder / "empty.ply").write_bytes(b"")
    (folder / "text.ply").write_text("not a cloud\n")
    write_cloud(folder / "none.ply", XYZ[:0], RGB[:0])
    write_cloud(folder / "nan.ply", XYZ * np.nan, RGB)
    PlyData([PlyElement.describe(np.zeros(3, dtype=[("a", "f4")]), "other")]).write(folder / "other.ply")


@pytest.mark.parametrize("name", ["truncated", "header", "empty", "text", "none", "nan", "other", "missing"])
def test_files_that_cannot_be_read(tmp_path, name):
    bad_files(tmp_path)
    path = str(tmp_path / f"{name}.ply")
    with pytest.raises(InputError) as error:
        read_cloud(path)
    assert path in str(error.value)


def test_voxels_keep_the_first_point():
    xyz = np.array([[0.011, 0.0, 0.0], [-0.001, 0.0, 0.0], [0.019, 0.019, 0.019], [0.02, 0.0, 0.0]])
    features = np.arange(4, dtype=np.float32)[:, None].repeat(3, 1)
    coordinates, kept = voxelise(xyz, features, 0.02)
    found = {tuple(c): f[0] for c, f in zip(coordinates.tolist(), kept, strict=True)}
    assert found == {(0, 0, 0): 0, (-1, 0, 0): 1, (1, 0, 0): 3}
    assert coordinates.dtype == np.int32


def test_voxels_far_apart_and_too_far():
    xyz = np.array([[-1e3, -1e3, -1e3], [1e3, 1e3, 1e3], [1e3, 1e3, 1e3]])
    assert len(voxelise(xyz, xyz, 0.02)[0]) == 2
    with pytest.raises(InputError, match="are the clouds in metres"):
        voxelise(xyz * 100, xyz, 0.02)


def test_augmentation_of_strength_0_changes_nothing():
    augmentation = PointAugmentation.draw(generator(0), strength=0.0)
    np.testing.assert_allclose(augmentation.move(XYZ), XYZ, atol=1e-6)
    np.testing.assert_allclose(augmentation.tint((RGB / 255).astype(np.float32), generator(0)), RGB / 255, atol=1e-6)


def test_augmentation_has_the_published_spread():
    draws = [PointAugmentation.draw(generator(seed)) for seed in range(2000)]
    scales = np.array([np.cbrt(np.linalg.det(d.matrix)) for d in draws])
    assert 0.3 < scales.min() < 0.55 and 1.8 < scales.max() < 2.6
    assert abs(scales.mean() - 1.25) < 0.03
    offsets = np.array([d.offset / np.cbrt(np.linalg.det(d.matrix)) for d in draws])
    np.testing.assert_allclose(offsets.std(axis=0), 0.4, rtol=0.1)
    ups = np.array([d.matrix[1] / np.linalg.norm(d.matrix[1]) for d in draws])  # where the vertical axis goes
    assert np.degrees(np.arccos(ups[:, 1])).mean() < 20  # it is tilted, never turned over
    ahead = np.array([d.matrix[2] for d in draws])
    angles = np.degrees(np.arctan2(ahead[:, 0], ahead[:, 2]))
    assert np.histogram(angles, 8, (-180, 180))[0].min() > 150  # every direction about the vertical axis
    assert -0.2 <= min(d.value_shift for d in draws) < -0.19 and 0.19 < max(d.value_shift for d in draws) <= 0.2
    assert 0.14 < max(d.saturation_shift for d in draws) <= 0.15


def test_augmentation_is_affine_and_the_same_for_all_frames():
    augmentation = PointAugmentation.draw(generator(3))
    middle = augmentation.move((XYZ[:1] + XYZ[1:2]) / 2)
    np.testing.assert_allclose(middle, (augmentation.move(XYZ[:1]) + augmentation.move(XYZ[1:2])) / 2, atol=1e-5)
    np.testing.assert_array_equal(augmentation.move(XYZ), augmentation.move(XYZ))


def test_tint_noise_and_range():
    grey = np.full((20_000, 3), 0.5, dtype=np.float32)
    base = PointAugmentation.draw(generator(0))
    plain = PointAugmentation(base.matrix, base.offset, base.noise, 0.0, 0.0)
    assert plain.tint(grey, generator(1)).var() == pytest.approx(0.001, rel=0.05)
    bright = PointAugmentation(base.matrix, base.offset, 0.0, 0.2, 0.0)
    np.testing.assert_allclose(bright.tint(grey, generator(1)), 0.7, atol=1e-6)
    np.testing.assert_allclose(bright.tint(np.ones((1, 3), dtype=np.float32), generator(1)), 1.2, atol=1e-6)


def by_hsv(rgb, saturation, value):
    """The reference's way: to HSV and back for the value, and again for the saturation, nothing clipped."""
    h, s, v = colorsys.rgb_to_hsv(*rgb)
    h, s, v = colorsys.rgb_to_hsv(*colorsys.hsv_to_rgb(h, s, v + value))
    return colorsys.hsv_to_rgb(h, s + saturation, v)


@pytest.mark.parametrize(("saturation", "value"), [(0.1, 0.2), (-0.15, 0.05), (0.0, 0.0), (0.15, -0.2), (-0.15, -0.2)])
def test_brightness_and_saturation_are_those_of_the_reference(saturation, value):
    """Wherever its result is defined: colours brighter than a shadow, before the shift and after it."""
    rng = generator(0)
    rgb = rng.uniform(-0.1, 1.1, (2000, 3)).astype(np.float32)  # noise leaves 0..1
    rgb[:200] = rgb[:200, :1]  # greys
    rgb[0], rgb[1] = 0.3, 1
    rgb[200:400, rng.integers(3)] = 0
    rgb = rgb[(rgb.max(axis=1) > DARKEST) & (rgb.max(axis=1) + value > 0.01)]
    shifted = shift_hsv(rgb, saturation, value)
    assert shifted.dtype == np.float32 and len(rgb) > 1800
    expected = [by_hsv(colour, saturation, value) for colour in rgb.astype(np.float64)]
    np.testing.assert_allclose(shifted, expected, atol=2e-5)


def test_tinted_white_stays_white_on_average():
    """The reference's mean is 1; clipping made it 0.93."""
    white = np.ones((500, 3), dtype=np.float32)
    tinted = [PointAugmentation.draw(generator(seed)).tint(white, generator(seed)) for seed in range(400)]
    assert np.mean(tinted) == pytest.approx(1.0, abs=0.02) and np.max(tinted) > 1.2


def test_tinted_black_stays_dark():
    """The reference divides its noise by its value, which is about 0."""
    black = np.zeros((500, 3), dtype=np.float32)
    for seed in range(200):
        augmentation = PointAugmentation.draw(generator(seed))
        tinted = augmentation.tint(black, generator(seed))
        assert np.abs(tinted).max() < 1.2 and -0.25 < tinted.mean() <= 0.25
        assert tinted.mean() < max(augmentation.value_shift, 0) + 0.05


@pytest.mark.parametrize(("rgbs_feature", "times"), [(True, 1), (False, 0)])
def test_colours_see_hsv_once_if_at_all(tmp_path, monkeypatch, rgbs_feature, times):
    calls = []
    monkeypatch.setattr(point_transforms, "shift_hsv", lambda *given: calls.append(given) or shift_hsv(*given))
    write_cloud(tmp_path / "a.ply", XYZ, RGB)
    augmentation = PointAugmentation.draw(generator(0))
    load_voxels(str(tmp_path / "a.ply"), VoxelSettings(0.5, rgbs_feature), augmentation, generator(1))
    assert len(calls) == times


def test_one_map_does_what_the_augmentations_do_in_turn():
    for seed in range(20):
        fused = PointAugmentation.draw(generator(seed))
        rng = generator(seed)
        yaw = Rotation.from_rotvec([0, np.pi * rng.uniform(-1, 1), 0])
        axis = rng.uniform(-0.5, 0.5, 3)
        tilt = Rotation.from_rotvec(np.deg2rad(30) * rng.uniform(-1, 1) * axis / np.linalg.norm(axis))
        moved = tilt.apply(yaw.apply(XYZ)) + 0.4 * rng.standard_normal(3)
        moved = moved * rng.uniform(0.5, 2) @ (np.eye(3) + 0.1 * rng.standard_normal((3, 3)))
        np.testing.assert_allclose(fused.move(XYZ), moved, atol=2e-6)
        assert fused.value_shift == rng.uniform(-0.2, 0.2) and fused.saturation_shift == rng.uniform(-0.15, 0.15)


def test_voxels_equal_a_plain_search():
    rng = generator(0)
    for count, reach, size in ((1, 1.0, 0.02), (500, 0.1, 0.02), (3000, 2.0, 0.1), (200, 1200.0, 0.02)):
        xyz = rng.uniform(-reach, reach, (count, 3)).astype(np.float32)
        expected: dict[tuple, np.ndarray] = {}
        for point, cell in zip(xyz, np.floor(xyz.astype(np.float64) / size).astype(int).tolist(), strict=True):
            expected.setdefault(tuple(cell), point)
        coordinates, features = voxelise(xyz, xyz, size)
        assert list(map(tuple, coordinates.tolist())) == sorted(expected)
        np.testing.assert_array_equal(features, [expected[cell] for cell in sorted(expected)])
        assert coordinates.flags.c_contiguous and features.flags.c_contiguous


def test_voxels_of_a_file_are_those_of_its_points(tmp_path):
    write_cloud(tmp_path / "a.ply", XYZ, RGB)
    xyz, rgb = read_cloud(str(tmp_path / "a.ply"))
    for rgbs_feature in (True, False):
        found = load_voxels(str(tmp_path / "a.ply"), VoxelSettings(0.5, rgbs_feature))
        for a, b in zip(found, voxelise(xyz, rgb if rgbs_feature else xyz, 0.5), strict=True):
            np.testing.assert_array_equal(a, b)
        assert found[1].dtype == np.float32
