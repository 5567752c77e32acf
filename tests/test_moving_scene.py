"""Scenes in which musicians move: followed by their places, written to all that describes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_separate import files, open3d, run, write_scene_file  # noqa: F401

from jobs.lists import Job
from jobs.names import choose_names
from separation.scene import Candidate, Musician, Scene
from separation.tracks import track_musicians
from spatial.ensemble import open_ensemble
from utils.errors import InputError


def scene_of(*places):
    """A scene of a small cloud at each place `(x, z)`, all of them musicians."""
    xyz = np.concatenate([np.full((5, 3), (x, 1, z), dtype=np.float32) for x, z in places])
    candidates = [Candidate(1.0, "", 0.0) for _ in places]
    owners = np.repeat(np.arange(len(places)), 5)
    return Scene(xyz, None, candidates, owners, tuple(range(len(places))), True, [])


def test_each_follows_its_own_place_and_nobody_jumps():
    first = scene_of((-1, 0), (1, 0))
    assert isinstance(first.musicians[0], Musician)
    later = [
        (1.0, scene_of((-0.6, 0.1), (0.9, 0))),
        (2.0, scene_of((-0.1, 0.1), (5, 5))),
        (3.0, scene_of((1, 0), (0.4, 0))),
    ]
    left, right = track_musicians(first, later)
    assert [seconds for seconds, _ in left] == [0, 1, 2, 3] and [seconds for seconds, _ in right] == [0, 1, 3]
    assert [place[0] for _, place in left] == pytest.approx([-1, -0.6, -0.1, 0.4])
    assert [place[0] for _, place in right] == pytest.approx([1, 0.9, 1])


def test_a_folder_of_frames(run, tmp_path, open3d):  # noqa: F811
    for frame in range(4):
        (tmp_path / "frames").mkdir(exist_ok=True)
        write_scene_file(tmp_path / "frames" / f"{frame:05d}.ply", [(-1.3 + 0.2 * frame, 0.0), (1.2, 0.3)])
    code, printed, complaint = run("--scene", tmp_path / "frames", "--scene_fps", 2, "--num_sources", 2, points=())
    assert code == 0 and "followed through 4 frames, 2.0 s" in printed, complaint
    out = tmp_path / "out"
    described = json.loads((out / "scene.json").read_text())
    moving, still = (source["track"] for source in described["sources"])
    assert [moment["seconds"] for moment in moving] == [0, 0.5, 1, 1.5]
    assert [moment["centroid_m"][0] for moment in moving] == pytest.approx([-1.3, -1.1, -0.9, -0.7], abs=0.05)
    assert np.ptp([moment["centroid_m"][0] for moment in still]) < 0.05
    with open_ensemble(out) as ensemble:
        assert ensemble.paths[0].at(0.75)[0] == pytest.approx(-1.0, abs=0.05)
    assert b"00:00:00.50000" in (out / "scene.wav").read_bytes()  # a block of the ADM file
    assert b'"animations"' in (out / "scene.glb").read_bytes()
    assert soundfile.info(out / "scene.wav").channels == 2


def test_a_moment_without_musicians_is_missing(run, tmp_path, open3d):  # noqa: F811
    (tmp_path / "frames").mkdir()
    for frame, places in enumerate([[(-1.2, 0.0), (1.2, 0.3)], [], [(-1.0, 0.0), (1.2, 0.3)]]):
        write_scene_file(tmp_path / "frames" / f"{frame:05d}.ply", places)
    code, printed, complaint = run("--scene", tmp_path / "frames", "--scene_fps", 2, "--num_sources", 2, points=())
    assert code == 0, complaint
    assert (
        "note: moments at which no musicians were found, which the tracks skip: 1; the first: " in printed
        and "00001.ply: " in printed
    )
    described = json.loads((tmp_path / "out" / "scene.json").read_text())
    for source in described["sources"]:
        assert [moment["seconds"] for moment in source["track"]] == [0, 1]


@pytest.mark.parametrize("names", [("scene", "b"), ("b", "Scene")])
def test_no_stem_takes_the_name_of_the_scenes_file(names):
    job = Job(Path("song.wav"), Path("out"), scene="scene.ply", names=names)
    with pytest.raises(InputError, match="would be the name of two"):
        choose_names(job, 2)
