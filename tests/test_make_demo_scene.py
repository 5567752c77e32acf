"""The demo's ensemble: the sound adds up, the cloud holds everybody, and what cannot make one is told."""

from __future__ import annotations

import sys

import make_demo_scene
import numpy as np
import pytest
import soundfile
from conftest import write_cloud
from plyfile import PlyData, PlyElement

from dataset.index import IndexRow, write_index
from dataset.points import read_cloud
from utils.errors import InputError

RNG = np.random.default_rng(0)
XYZ, RGB = RNG.uniform(-0.3, 0.3, (200, 3)) + (0, 1, 0), RNG.integers(0, 256, (200, 3))


@pytest.fixture
def performers(tmp_path, monkeypatch):
    """A folder with a list of two performers, as the current folder; returns the folder of frames of each."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for name, pitch in (("cello", 110), ("a-violin", 440)):
        soundfile.write(
            f"{name}.wav", 0.5 * np.sin(2 * np.pi * pitch * np.arange(5000) / 11025), 11025, subtype="FLOAT"
        )
        write_cloud(tmp_path / name / "00000.ply", XYZ, RGB)
        rows.append(IndexRow(f"{tmp_path}/x/{name}/{name}.wav", f"{tmp_path}/{name}", 1))
        (tmp_path / "x" / name).mkdir(parents=True)
        (tmp_path / f"{name}.wav").rename(tmp_path / "x" / name / f"{name}.wav")
    write_index(tmp_path / "test.csv", rows)
    return [tmp_path / "cello", tmp_path / "a-violin"]


@pytest.fixture
def make(monkeypatch):
    def run(*words):
        line = ["make_demo_scene.py", "--data", ".", "--output", "out", "--num_sources", "2", *words]
        monkeypatch.setattr(sys, "argv", line)
        make_demo_scene.main()

    return run


def test_an_ensemble(performers, make, tmp_path):
    make()
    names = (tmp_path / "out" / "names.txt").read_text().split()
    stems = [soundfile.read(tmp_path / "out" / "stems" / f"{name}.wav")[0] for name in names]
    mixture, rate = soundfile.read(tmp_path / "out" / "mixture.wav")
    assert sorted(names) == ["a-violin", "cello"] and rate == 44100 and mixture.shape == (20000, 2)
    np.testing.assert_allclose(sum(stems), mixture, atol=1e-6)
    left, right = np.square(stems[0]).sum(axis=0)
    assert left > 2 * right  # who is named first stands on the left
    points, colours = read_cloud(str(tmp_path / "out" / "scene.ply"))
    assert len(points) == len(colours) > 2 * len(XYZ) + make_demo_scene.STRAYS
    assert (np.abs(points[: 2 * len(XYZ), 0]) > 0.4).all()  # 1.5 m from each other


def test_only_stems_of_the_ensemble_before_are_removed(performers, make, tmp_path):
    make()
    (tmp_path / "out" / "stems" / "mine.wav").write_bytes(b"x")
    (tmp_path / "out" / "names.txt").write_text("cello a-violin guitar ../mixture\n")
    (tmp_path / "out" / "stems" / "guitar.wav").write_bytes(b"x")
    make("--num_sources", "1")
    (name,) = (tmp_path / "out" / "names.txt").read_text().split()
    assert {path.name for path in (tmp_path / "out" / "stems").iterdir()} == {f"{name}.wav", "mine.wav"}
    assert (tmp_path / "out" / "mixture.wav").exists()


def sized(xyz, kind):
    vertices = np.zeros(
        len(xyz), dtype=[*((axis, kind) for axis in "xyz"), *((c, "u1") for c in ("red", "green", "blue"))]
    )
    for n, axis in enumerate("xyz"):
        vertices[axis] = xyz[:, n]
    return lambda path: PlyData([PlyElement.describe(vertices, "vertex")]).write(path)


FAULTS = {
    "no colours": (lambda path: write_cloud(path, XYZ), "cello: clouds without colours, which a scene needs"),
    "millimetres": (lambda path: write_cloud(path, 1000 * XYZ, RGB), "square metres: are the clouds in metres"),
    "absurd": (sized(1e18 * XYZ, "f4"), "square metres: are the clouds in metres"),
    "beyond numbers": (sized(1e300 * XYZ, "f8"), "are the clouds in metres|too large"),
    "broken": (lambda path: path.write_bytes(b"ply\n"), "00000.ply: .*cannot be read"),
}


@pytest.mark.parametrize(("write", "expected"), FAULTS.values(), ids=FAULTS)
def test_clouds_that_make_no_scene(performers, make, tmp_path, write, expected):
    """One line, and nothing is written."""
    write(performers[0] / "00000.ply")
    with pytest.raises(InputError, match=expected) as error:
        make()
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_too_few_instruments(performers, make):
    with pytest.raises(InputError, match="test.csv: 2 instruments, not 3; lower --num_sources"):
        make("--num_sources", "3")


def test_a_list_of_names_that_cannot_be_read(performers, make, tmp_path):
    (tmp_path / "out" / "names.txt").mkdir(parents=True)
    with pytest.raises(InputError, match="names.txt: cannot be read .a folder, not a file"):
        make()
