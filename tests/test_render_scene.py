"""The command that renders a scene, from a folder to a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import render_scene
import score_scene
import soundfile
from conftest import ROOT

from spatial import Listener, render
from spatial.ensemble import open_ensemble
from utils.errors import run_command

RATE_HZ, LENGTH = 22050, 22050 + 7
PLACES_M = [[-1.0, 1.0, 0.0], [1.2, 1.1, -0.5]]


def write_scene_folder(folder, seconds=LENGTH / RATE_HZ):
    """What `separate.py --scene` leaves, as far as a renderer needs it; returns the stems `[2, L]`, mono."""
    folder.mkdir(parents=True, exist_ok=True)
    stems = 0.1 * np.random.default_rng(0).standard_normal((2, round(seconds * RATE_HZ), 2)).astype(np.float32)
    sources = []
    for name, place, wave in zip(("violin", "cello"), PLACES_M, stems, strict=True):
        soundfile.write(folder / f"{name}.wav", wave, RATE_HZ, subtype="FLOAT")
        sources.append({"name": name, "stem": f"{name}.wav", "centroid_m": place})
    (folder / "scene.json").write_text(json.dumps({"floor_height_m": 0.0, "sources": sources}))
    return stems.mean(axis=2)


@pytest.fixture
def scene(tmp_path):
    return tmp_path / "out", write_scene_folder(tmp_path / "out")


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command -> exit code, what it printed, what it complained of."""

    def command(*words, script=render_scene):
        monkeypatch.setattr(sys, "argv", ["command", *map(str, words)])
        with pytest.raises(SystemExit) as leaving:
            run_command(script.main)
        return leaving.value.code or 0, *capsys.readouterr()

    return command


@pytest.mark.parametrize(
    ("to", "channels"), [("binaural", 2), ("ambisonics", 16), ("stereo", 2), ("5.1", 6), ("7.1.4", 12)]
)
def test_a_file_is_what_python_renders(run, scene, to, channels):
    if to == "binaural":
        pytest.importorskip("slab", reason="slab is not installed: requirements-3d.txt")
    folder, stems = scene
    code, printed, complaint = run(folder, "--to", to, "--listener", 0.5, 1.6, 2, "--facing", 30)
    assert code == 0 and f"{channels} channels" in printed, complaint
    samples, rate_hz = soundfile.read(folder / f"rendered-{to}.wav", dtype="float32")
    assert rate_hz == RATE_HZ and samples.shape == (LENGTH, channels)
    expected = render(stems, RATE_HZ, PLACES_M, Listener([0.5, 1.6, 2], 30), to)
    assert np.abs(samples.T - expected).max() < 1e-6


@pytest.mark.parametrize(("to", "mask"), [("stereo", 0x3), ("5.1", 0x3F)])
def test_a_wav_file_names_its_loudspeakers(run, scene, to, mask):
    assert run(scene[0], "--to", to)[0] == 0
    head = (scene[0] / f"rendered-{to}.wav").read_bytes()[:100]
    chunk = head[head.index(b"fmt ") + 8 :]
    assert (chunk[:2], int.from_bytes(chunk[20:24], "little")) == (b"\xfe\xff", mask)  # WAVE_FORMAT_EXTENSIBLE


def test_the_ears_are_above_the_lowest_point_where_no_floor_is_seen(scene):
    path = scene[0] / "scene.json"
    content = json.loads(path.read_text()) | {"floor_height_m": None}
    heights = []
    for more in ({}, {"lowest_m": 0.7}):
        path.write_text(json.dumps(content | more))
        with open_ensemble(scene[0]) as ensemble:
            heights.append((ensemble.floor_m, ensemble.before().path.at(0)[1]))
    assert heights[1] == (0.7, 2.3) and heights[0][1] == heights[0][0] + 1.6  # older files have no such place


def test_a_file_is_replaced_only_when_told(run, scene):
    words = (scene[0], "--to", "stereo")
    assert run(*words)[0] == 0
    before = (scene[0] / "rendered-stereo.wav").read_bytes()
    code, _, complaint = run(*words, "--facing", 90)
    assert code == 2 and "rendered-stereo.wav: exists" in complaint
    assert (scene[0] / "rendered-stereo.wav").read_bytes() == before
    assert run(*words, "--facing", 90, "--overwrite", 1)[0] == 0
    assert (scene[0] / "rendered-stereo.wav").read_bytes() != before


def test_a_path_and_a_room(run, scene, tmp_path):
    pytest.importorskip("pyroomacoustics", reason="pyroomacoustics is not installed: requirements-3d.txt")
    (tmp_path / "path.csv").write_text("seconds,x,y,z,facing\n0,-2,1.6,2,0\n1,2,1.6,2,90\n")
    words = (scene[0], "--to", "ambisonics", "--order", 1, "--path", tmp_path / "path.csv")
    assert run(*words, "--output", tmp_path / "dry.wav")[0] == 0
    assert run(*words, "--output", tmp_path / "wet.wav", "--room", 8, 3, 6, "--absorption", 0.2)[0] == 0
    dry, wet = (soundfile.read(tmp_path / name)[0] for name in ("dry.wav", "wet.wav"))
    assert dry.shape == wet.shape == (LENGTH, 4)
    assert np.square(wet[:, 0]).sum() > 1.5 * np.square(dry[:, 0]).sum()


BAD = [
    (("nowhere",), "nowhere/scene.json: cannot be read"),
    (("{out}", "--to", "mono"), "invalid choice"),
    (("{out}", "--listener", "1", "2"), "expected 3 arguments"),
    (("{out}", "--listener", "nan", "0", "0"), "expected a number"),
    (("{out}", "--hrtf", "nowhere.sofa"), "nowhere.sofa: cannot be read (no such file)"),
    (("{out}", "--hrtf", "{out}/scene.json"), "not a SOFA file"),
    (("{out}", "--to", "stereo", "--order", "2"), "--order does not go with --to stereo"),
    (("{out}", "--to", "stereo", "--hrtf", "a.sofa"), "--hrtf does not go with --to stereo"),
    (("{out}", "--to", "stereo", "--absorption", "0.5"), "--absorption goes with --room"),
    (("{out}", "--to", "stereo", "--room", "1", "1", "1"), "musicians or the listener are outside"),
    (("{out}", "--to", "stereo", "--path", "nowhere.csv"), "nowhere.csv: cannot be read (no such file)"),
    (("{out}", "--to", "stereo", "--path", "{path}"), "path.csv: line 3: the times must ascend"),
    (("{out}", "--to", "stereo", "--path", "{path}", "--facing", "3"), "it goes without --listener and --facing"),
    (("{out}", "--to", "stereo", "--output", "{out}/violin.wav"), "violin.wav: is part of the scene or read for"),
    (("{out}", "--to", "stereo", "--output", "{out}/scene.json", "--overwrite", "1"), "scene.json: is part of"),
    (("{out}", "--to", "stereo", "--output", "{out}/scene.wav", "--overwrite", "1"), "scene.wav: is part of"),
    (("{out}", "--to", "stereo", "--output", "{out}/../out/scene.glb", "--overwrite", "1"), "scene.glb: is part of"),
    (("{out}", "--to", "stereo", "--output", "{out}/residual.wav", "--overwrite", "1"), "residual.wav: is part of"),
    (("{out}", "--to", "stereo", "--output", "{out}/scene.png", "--overwrite", "1"), "whose name ends in .wav"),
    (("{out}", "--to", "stereo", "--output", "x.mp3"), "--output x.mp3: a WAV file is written"),
    (("{out}", "--to", "stereo", "--path", "{far}"), "a place 1e+200 m from the origin"),
    (("{out}", "--to", "stereo", "--path", "{turns}"), "the listener's facing is not a number of degrees up to"),
    (("{out}", "--to", "stereo", "--listener", "900", "0", "0"), "expected at most 340 m"),
]


@pytest.mark.parametrize(("words", "expected"), BAD, ids=[expected[:40] for _, expected in BAD])
def test_bad_input_is_one_line_and_nothing_is_written(run, scene, tmp_path, words, expected):
    for package in ("sofar", "pyroomacoustics"):
        pytest.importorskip(package, reason=f"{package} is not installed: requirements-3d.txt")
    (tmp_path / "path.csv").write_text("seconds,x,y,z,facing\n1,0,0,0,0\n1,0,0,0,0\n")
    (tmp_path / "far.csv").write_text("seconds,x,y,z,facing\n0,0,1e200,0,0\n")
    (tmp_path / "turns.csv").write_text("seconds,x,y,z,facing\n0,0,0,0,-1e308\n1,0,0,0,1e308\n")
    places = {name: tmp_path / f"{name}.csv" for name in ("path", "far", "turns")}
    for name in ("scene.wav", "scene.glb", "residual.wav", "scene.png"):
        (scene[0] / name).write_bytes(b"as it was")
    before = {path: path.read_bytes() for path in scene[0].iterdir()}
    code, _, complaint = run(*(word.format(out=scene[0], **places) for word in words))
    assert code == 2 and complaint.startswith("error: ") and complaint.count("\n") == 1
    assert expected in complaint, complaint
    assert {path: path.read_bytes() for path in scene[0].iterdir()} == before


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, "not the description of a scene"),
        ({"floor_height_m": 0, "sources": []}, "no musicians"),
        ({"floor_height_m": 10**400, "sources": []}, "not the description of a scene"),
        ({"floor_height_m": float("nan"), "sources": []}, "floor_height_m is not finite"),
        ({"floor_height_m": 0, "sources": [{"name": "a", "stem": "a.wav", "centroid_m": [10**400, 2, 3]}]}, "a scene"),
        ({"floor_height_m": 0, "sources": [{"name": "a", "stem": "a.wav", "centroid_m": [1, 2]}]}, "a path is"),
        ({"floor_height_m": 0, "sources": [{"name": "a", "stem": "a.wav", "centroid_m": [1, 2, 3]}]}, "a.wav"),
    ],
)
def test_a_damaged_description_is_one_line(run, scene, content, expected):
    (scene[0] / "scene.json").write_text(json.dumps(content))
    code, _, complaint = run(scene[0], "--to", "stereo")
    assert code == 2 and expected in complaint and complaint.count("\n") == 1


def test_without_its_packages_the_command_says_what_to_install(run, scene, monkeypatch):
    monkeypatch.setitem(sys.modules, "slab", None)
    code, _, complaint = run(scene[0])
    assert code == 2 and "pip install slab sofar" in complaint and complaint.count("\n") == 1


PEAK = """
import runpy, sys
try:
    runpy.run_path("scripts/render_scene.py", run_name="__main__")
except SystemExit as leaving:
    assert not leaving.code, leaving.code
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak of the memory is read as Linux has it")
def test_memory_does_not_grow_with_the_length(tmp_path):
    peaks = []
    for minutes in (1, 4):
        write_scene_folder(tmp_path / str(minutes), seconds=60 * minutes)
        command = [sys.executable, "-c", PEAK, tmp_path / str(minutes), "--to", "5.1"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] < 1.05 * peaks[0]


def test_distances_of_the_truth_and_of_the_mixture(run, scene, tmp_path):
    """The true stems are at 0; the mixture from the middle is not."""
    pytest.importorskip("slab", reason="slab is not installed: requirements-3d.txt")
    folder, stems = scene
    soundfile.write(tmp_path / "song.wav", stems.sum(axis=0), RATE_HZ, subtype="FLOAT")
    code, printed, complaint = run(*(folder, "--truth", folder, "--mixture", tmp_path / "song.wav"), script=score_scene)
    assert code == 0, complaint
    rows = [[float(word) for word in line.split()[-2:]] for line in printed.splitlines()[1:]]
    assert rows[0] == [0, 0] and min(rows[1]) > 0.2


def test_scores_need_the_true_stems_of_the_same_length(run, scene, tmp_path):
    folder, _ = scene
    code, _, complaint = run(folder, "--truth", tmp_path, "--mixture", folder / "violin.wav", script=score_scene)
    assert code == 2 and "violin.wav" in complaint and complaint.count("\n") == 1
    soundfile.write(tmp_path / "short.wav", np.zeros(100), RATE_HZ)
    code, _, complaint = run(folder, "--truth", folder, "--mixture", tmp_path / "short.wav", script=score_scene)
    assert code == 2 and "short.wav: not of the length of the stems" in complaint and complaint.count("\n") == 1
