"""Colours of every type, scale and name are those that open3d's and every other reader's user would see."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import write_cloud
from plyfile import PlyData, PlyElement

from dataset.cache import Cache
from dataset.captures import read_capture
from dataset.check import Needs, check_cloud
from dataset.colours import full_scale, scale_note, to_unit
from dataset.points import read_cloud
from dataset.settings import VoxelSettings
from dataset.voxels import load_voxels
from utils.errors import InputError

FINE = VoxelSettings(1e-4, colours=True)
RNG = np.random.default_rng(0)
XYZ = (RNG.uniform(-1, 1, (80, 3)) * (0.4, 0.85, 0.3)).astype(np.float32)
RGB = RNG.integers(0, 256, (80, 3))


def write(path, kinds, names=("red", "green", "blue"), values=RGB, text=False):
    """A PLY file whose channels have NumPy's types `kinds`."""
    rows = np.zeros(len(XYZ), [*((axis, "f4") for axis in "xyz"), *zip(names, kinds, strict=True)])
    for n, axis in enumerate("xyz"):
        rows[axis] = XYZ[:, n]
    for n, name in enumerate(names):
        rows[name] = values[:, n].astype(kinds[n]) if kinds[n] == "i1" else values[:, n]
    PlyData([PlyElement.describe(rows, "vertex")], text=text).write(path)
    return str(path)


def colours_everywhere(path):
    """The colours that training, the cache, separation and the pages see."""
    _, voxels = load_voxels(path, FINE)
    cached = Cache(path + ".cache")
    again = [load_voxels(path, FINE, read=cached.read_points)[1] for _ in range(2)]
    order = np.lexsort(np.floor(XYZ.T / np.float64(1e-4))[::-1])
    for found in (voxels, *again):
        np.testing.assert_array_equal(found, read_cloud(path)[1][order])
    np.testing.assert_array_equal(read_capture(path).rgb, read_cloud(path)[1])
    return read_cloud(path)[1]


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "u4", "f4", "f8"])
def test_bytes_of_any_type(tmp_path, kind):
    path = write(tmp_path / "a.ply", [kind] * 3)
    np.testing.assert_allclose(colours_everywhere(path), RGB / 255, atol=1e-6)
    notes = read_capture(path).notes
    assert (notes == ()) == (kind == "u1"), notes
    assert [found.kind for found in check_cloud(path, 0.02)] == ["colours of another scale"] * (kind != "u1")


@pytest.mark.parametrize("kinds", [("u1", "u1", "i1"), ("i1", "i1", "i1"), ("u1", "i2", "u4"), ("u1", "u1", "f4")])
def test_mixed_and_signed_bytes(tmp_path, kinds):
    path = write(tmp_path / "a.ply", kinds)
    np.testing.assert_allclose(colours_everywhere(path), RGB / 255, atol=1e-6)
    assert read_capture(path).notes


@pytest.mark.parametrize(("kind", "largest"), [("u2", 65535), ("i2", 32767), ("i4", 65535), ("u4", 2**32 - 1)])
def test_wider_scales(tmp_path, kind, largest):
    values = np.rint(RGB.astype(np.float64) / 255 * largest)
    path = write(tmp_path / "a.ply", [kind] * 3, values=values)
    np.testing.assert_allclose(colours_everywhere(path), RGB / 255, atol=2e-5)


def test_parts_of_one(tmp_path):
    path = write(tmp_path / "a.ply", ["f4"] * 3, values=RGB / 255)
    np.testing.assert_allclose(colours_everywhere(path), RGB / 255, atol=1e-6)
    path = write(tmp_path / "rounded.ply", ["f4"] * 3, values=RGB / 254)  # just beyond 1: not 0..255, which is black
    assert colours_everywhere(path).max() == 1 and colours_everywhere(path).mean() > 0.4
    assert not read_capture(path).notes


@pytest.mark.parametrize(
    "names", [("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("Red", "Green", "Blue")]
)
def test_other_names(tmp_path, names):
    path = write(tmp_path / "a.ply", ["u1"] * 3, names)
    np.testing.assert_allclose(colours_everywhere(path), RGB / 255, atol=1e-6)


@pytest.mark.parametrize("kind", ["u4", "i4", "f4"])
@pytest.mark.parametrize("name", ["rgb", "RGBA"])
def test_packed(tmp_path, kind, name):
    packed = (RGB @ (1 << 16, 1 << 8, 1)).astype(np.uint32).view(kind)
    rows = np.zeros(len(XYZ), [*((axis, "f4") for axis in "xyz"), (name, kind)])
    for n, axis in enumerate("xyz"):
        rows[axis] = XYZ[:, n]
    rows[name] = packed
    PlyData([PlyElement.describe(rows, "vertex")]).write(tmp_path / "a.ply")
    np.testing.assert_allclose(colours_everywhere(str(tmp_path / "a.ply")), RGB / 255, atol=1e-6)


def test_splats(tmp_path):
    """The harmonic of degree 0, whose value is 1 / (2 sqrt(pi))."""
    values = (RGB / 255 - 0.5) * 2 * np.sqrt(np.pi)
    path = write(tmp_path / "a.ply", ["f4"] * 3, ("f_dc_0", "f_dc_1", "f_dc_2"), values)
    np.testing.assert_allclose(colours_everywhere(path), RGB / 255, atol=1e-5)
    assert any("splats" in note for note in read_capture(path).notes)


@pytest.mark.parametrize("values", [RGB - 300, RGB * 1.5 / 255, RGB * 3.0])
def test_out_of_range_stops_training_and_is_reported(tmp_path, values):
    path = write(tmp_path / "a.ply", ["f4"] * 3, values=values)
    for read in (read_cloud, read_capture, lambda path: load_voxels(path, VoxelSettings(0.02, colours=True))):
        with pytest.raises(InputError, match="a.ply: colours from .* expected 0..1 or 0..255"):
            read(path)
    (found,) = check_cloud(path, Needs().voxel_size)
    assert (found.kind, found.is_error) == ("colours out of range", True)


def test_colours_that_are_missing_are_told_with_what_there_is(tmp_path):
    path = write(tmp_path / "a.ply", ["f4"] * 3, ("nx", "ny", "intensity"))
    with pytest.raises(InputError, match=r"no colours; use --rgbs_feature 0 \(its points have x y z nx ny intensity\)"):
        load_voxels(path, VoxelSettings(0.02, colours=True))
    (found,) = check_cloud(path, 0.02)
    assert found.kind == "cloud without colours" and "x y z nx ny intensity" in found.reason
    write_cloud(tmp_path / "b.ply", XYZ)
    assert read_capture(str(tmp_path / "b.ply")).rgb is None


def test_scales():
    assert full_scale(np.zeros((0, 3), np.int64)) == full_scale(np.zeros((4, 3), np.uint16)) == 255
    assert full_scale(np.array([[0.0, 1.0, 2.0]])) == 255  # whole: of 0..255
    assert to_unit(np.array([[0, 51, 255]], np.int64)).tolist() == [[0, np.float32(0.2), 1]]
    assert scale_note(np.array([[7.0]]), 255) == "colours are floats up to 7: taken as 0..255"
    with pytest.raises(InputError, match="colours from 1 to 1.4"):
        full_scale(np.array([[1.0, 1.4]]))
