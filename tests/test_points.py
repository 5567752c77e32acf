"""Clouds: every kind of PLY, voxels by their definition, augmentations that are what they say."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import write_cloud
from plyfile import PlyData, PlyElement

from dataset.point_transforms import PointAugmentation
from dataset.points import read_cloud, voxelise
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
    assert bright.tint(np.ones((1, 3), dtype=np.float32), generator(1)).max() <= 1.0
