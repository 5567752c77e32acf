"""The command that separates a user's recording, from files to files."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import separate
import soundfile
from conftest import ROOT, write_cloud
from test_separator import music, write_run

from dataset.points import read_cloud
from jobs.lists import Job
from jobs.names import name_of_cloud
from jobs.recordings import check_output
from utils.errors import InputError, run_command

RATE = 22050


def body(seed=0, at=(0.0, 0.0), height=1.7, points=3000):
    """A standing cylinder with a colour of its own: points `[P, 3]` in metres, colours `[P, 3]` of 0..255."""
    rng = np.random.default_rng(seed)
    angle, y = rng.uniform(0, 2 * np.pi, points), rng.uniform(0.05, height, points)
    xyz = np.stack([at[0] + 0.2 * np.cos(angle), y, at[1] + 0.2 * np.sin(angle)], axis=1)
    return xyz, np.tile(rng.integers(0, 256, 3), (points, 1))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A run, a stereo recording, clouds of two musicians in several forms."""
    root = tmp_path_factory.mktemp("files")
    (root / "run").mkdir()
    write_run(root / "run")
    left = music(seconds=2.5, rate=RATE)[0]
    soundfile.write(root / "song.wav", np.stack([left, 0.5 * left], axis=1), RATE)
    for seed, name in enumerate(("violin", "cello")):
        xyz, rgb = body(seed)
        write_cloud(root / f"{name}.ply", xyz, rgb)
        write_cloud(root / f"{name}_mm.ply", 1000 * xyz, rgb)
        write_cloud(root / f"{name}_z_up.ply", xyz[:, [0, 2, 1]] * (1, -1, 1), rgb)
        for frame in range(3):
            write_cloud(root / "frames" / name / f"{frame:05d}.ply", xyz, rgb)
    np.savetxt(root / "plain.xyz", body(2)[0])
    return root


@pytest.fixture
def run(files, tmp_path, monkeypatch, capsys):
    """Runs the command in a folder of its own -> exit code, what it printed, what it complained of."""
    monkeypatch.chdir(files)

    def command(*arguments, mixture="song.wav", points=("violin.ply", "cello.ply"), output=tmp_path / "out"):
        words = ["--mixture", mixture, "--run", "run", "--output", output, "--device", "cpu", *arguments]
        words += ["--points", *points] if points else []
        monkeypatch.setattr(sys, "argv", ["separate.py", *map(str, words)])
        with pytest.raises(SystemExit) as leaving:
            run_command(separate.main)
        return leaving.value.code or 0, *capsys.readouterr()

    return command


def stems_of(folder):
    return {path.stem: soundfile.read(path, dtype="float32") for path in sorted(folder.glob("*.wav"))}


def test_a_stem_for_each_cloud(run, tmp_path, files):
    code, printed, complaint = run("--residual")
    assert code == 0, complaint
    stems = stems_of(tmp_path / "out")
    assert list(stems) == ["cello", "residual", "violin"]
    mixture, _ = soundfile.read(files / "song.wav", dtype="float32")
    assert all(rate == RATE and wave.shape == mixture.shape for wave, rate in stems.values())
    total = sum(wave for wave, _ in stems.values())
    np.testing.assert_allclose(total, mixture, atol=1e-6)
    assert np.abs(stems["violin"][0] - stems["cello"][0]).max() > 0.01
    assert "out/violin.wav: -" in printed and "times real time, on cpu" in printed
    assert len(list((tmp_path / "out").iterdir())) == 3


@pytest.mark.parametrize(
    ("points", "arguments", "notice"),
    [
        (("violin_mm.ply", "cello_mm.ply"), (), "violin_mm.ply: taken as mm, 1.6"),
        (("violin_z_up.ply", "cello_z_up.ply"), ("--up", "z"), ""),
        (("frames/violin", "frames/cello"), (), ""),
    ],
)
def test_the_same_musicians_in_other_forms(run, tmp_path, points, arguments, notice):
    """Give the same stems but for what rounding moves into a neighbouring voxel."""
    assert run("--masks", "soft", output=tmp_path / "plain")[0] == 0
    code, printed, complaint = run("--masks", "soft", "--names", "violin", "cello", *arguments, points=points)
    assert code == 0 and notice in printed, complaint
    plain, other = stems_of(tmp_path / "plain"), stems_of(tmp_path / "out")
    for name, (wave, _) in plain.items():
        assert np.abs(other[name][0] - wave).max() < 0.1 * np.abs(wave).max(), name


def test_text_clouds_by_their_columns(run, files):
    xyz, rgb = body(0)
    rows = np.concatenate([np.ones((len(xyz), 1)), rgb, xyz / 0.3048], axis=1)
    np.savetxt(files / "violin.xyz", rows, "%.5f")
    options = ("--columns", "_", "r", "g", "b", "x", "y", "z", "--unit", "ft")
    code, printed, complaint = run(*options, points=("violin.xyz", "cello.ply"))
    assert code == 0, complaint
    assert "violin.xyz" not in printed


def test_a_cloud_that_lies_down_is_noticed(run):
    code, printed, _ = run("--names", "a", "b", points=("violin_z_up.ply", "cello_z_up.ply"))
    assert code == 0 and "not a plausible height for a musician; perhaps another axis points up: --up" in printed


def test_soft_stems_differ_from_hard_ones(run, tmp_path):
    assert run(output=tmp_path / "hard")[0] == run("--masks", "soft", output=tmp_path / "soft")[0] == 0
    hard, soft = stems_of(tmp_path / "hard"), stems_of(tmp_path / "soft")
    assert np.abs(hard["violin"][0] - soft["violin"][0]).max() > 0.01


def test_more_sources_than_in_training_are_noticed(run):
    code, printed, _ = run("--names", "a", "b", "c", points=("violin.ply", "cello.ply", "violin_mm.ply"))
    assert code == 0 and "note: 3 sources; the run was trained on mixtures of 2" in printed


WRONG = [
    ("no recording", dict(mixture="none.wav"), "none.wav: cannot be read as audio (no such file)"),
    ("not a recording", dict(mixture="violin.ply"), "violin.ply: cannot be read as audio"),
    ("no cloud", dict(points=("none.ply",)), "none.ply: no such file or folder"),
    ("not a cloud", dict(points=("song.wav",)), "song.wav: expected a point cloud"),
    ("an empty folder", dict(points=("frames",)), "frames: the folder holds no point cloud"),
    ("no colours", dict(points=("plain.xyz",)), "plain.xyz: a cloud without colours, and this run was trained on"),
    ("one name", dict(arguments=("--names", "a")), "--names: 1 name(s) for 2 source(s) (a)"),
    ("a name twice", dict(points=("violin.ply", "frames/violin")), "violin would be the name of two stems"),
    ("names of a case", dict(arguments=("--names", "a", "A")), "would be the name of two stems"),
    ("a path as name", dict(arguments=("--names", "../a", "b")), "--names: '../a' cannot be the name of a file"),
    (
        "a control character",
        dict(arguments=("--names", "a\x01b", "b")),
        "--names: 'a\\x01b' holds '\\x01', which cannot",
    ),
    ("half a character", dict(arguments=("--names", "a\udc80", "b")), "holds '\\udc80', which cannot be printed"),
    ("a taken name", dict(arguments=("--names", "residual", "b")), "residual would be the name of two stems"),
    ("no run", dict(arguments=("--run", "none")), "none: no such folder"),
    ("nothing to separate", dict(points=()), "one of the arguments --points --scene --labels is required"),
    ("both", dict(arguments=("--scene", "violin.ply")), "not allowed with argument"),
    ("sources without a scene", dict(arguments=("--num_sources", "2")), "--num_sources goes with --scene"),
    ("columns", dict(arguments=("--columns", "x", "y")), "--columns: expected x y z, once each"),
    ("up", dict(arguments=("--up", "w")), "argument --up: invalid choice: 'w'"),
    ("a misspelt option", dict(arguments=("--sof",)), "unrecognized arguments: --sof"),
]


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_is_wrong_is_one_line(run, tmp_path, files, change, message):
    change = dict(change)
    code, _, complaint = run(*change.pop("arguments", ()), **change)
    assert code == 2 and message in complaint and complaint.count("\n") == 1, complaint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("up", ["-y", "-x", "-z", "x"])
def test_axes_may_be_negative(run, up):
    code, printed, complaint = run("--up", up)
    assert code == 0 and "perhaps another axis" in printed or up == "-y", complaint


def test_a_folder_of_results_is_left_alone(run, tmp_path):
    assert run()[0] == 0
    before = stems_of(tmp_path / "out")
    code, _, complaint = run("--masks", "soft")
    assert code == 2 and "violin.wav: exists; choose another --output, or --overwrite 1" in complaint
    assert all(np.array_equal(before[name][0], wave) for name, (wave, _) in stems_of(tmp_path / "out").items())
    assert run("--masks", "soft", "--overwrite", 1)[0] == 0
    assert not np.array_equal(stems_of(tmp_path / "out")["violin"][0], before["violin"][0])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("violin.ply", "violin"),
        ("frames/cello/person_1/00012.ply", "cello"),
        ("frames/cello/person_1", "cello"),
        ("anna/7.pcd", "anna"),
        ("anna/take 7.pcd", "take 7"),
    ],
)
def test_names_of_stems_tell_who_it_is(tmp_path, path, name):
    place = tmp_path / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch() if place.suffix else place.mkdir()
    assert name_of_cloud(place) == name


@pytest.mark.parametrize("given", ["scene", "points"])
def test_a_capture_is_never_written_over(tmp_path, given):
    """`--scene d/scene.ply --output d --names scene b` would put the musician's cloud in its place."""
    for name in ("song.wav", "scene.ply"):
        (tmp_path / name).touch()
    capture = str(tmp_path / "scene.ply")
    job = Job(tmp_path / "song.wav", tmp_path, **{given: capture if given == "scene" else (capture,)})
    check_output(job, [tmp_path / "b.ply", tmp_path / "song2.wav"], overwrite=True)
    with pytest.raises(InputError, match="scene.ply: is the capture itself"):
        check_output(job, [tmp_path / "b.ply", tmp_path / "scene.ply"], overwrite=True)


def test_the_recording_is_never_written_over(run, files):
    before = (files / "song.wav").read_bytes()
    code, _, complaint = run("--names", "song", "b", "--overwrite", 1, output=files)
    assert code == 2 and "song.wav: is the recording itself" in complaint
    assert (files / "song.wav").read_bytes() == before and not (files / "b.wav").exists()


def test_a_recording_that_breaks_off_leaves_no_stems(run, tmp_path):
    soundfile.write(tmp_path / "whole.flac", music(seconds=20.0, rate=RATE).T, RATE)
    content = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "broken.flac").write_bytes(content[: int(0.9 * len(content))])
    code, _, complaint = run("--residual", mixture=tmp_path / "broken.flac")
    assert code == 2 and "broken.flac: " in complaint and complaint.count("\n") == 1
    assert not list(tmp_path.glob("out/*"))


def test_an_output_that_is_a_file_is_told(run, tmp_path):
    (tmp_path / "out").write_text("")
    code, _, complaint = run()
    assert code == 2 and str(tmp_path / "out") in complaint and complaint.count("\n") == 1


def test_an_hour_takes_no_more_memory_than_two_minutes(files, tmp_path):
    """In processes of their own; the hour is that of a mono file at the model's rate, to keep the test short."""
    minute = np.tile(music(seconds=10.0)[0], 6)
    peaks = []
    for minutes in (2, 60):
        with soundfile.SoundFile(tmp_path / "long.wav", "w", 11025, 1) as file:
            for _ in range(minutes):
                file.write(minute)
        words = ["--mixture", tmp_path / "long.wav", "--run", files / "run", "--output", tmp_path / "out"]
        words += ["--points", files / "violin.ply", files / "cello.ply", "--device", "cpu", "--overwrite", "1"]
        process = subprocess.Popen(
            [sys.executable, ROOT / "scripts" / "separate.py", *map(str, words)], stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0 and soundfile.info(tmp_path / "out" / "violin.wav").frames == minutes * 60 * 11025
        peaks.append(usage.ru_maxrss)
    assert peaks[1] < 1.2 * peaks[0]


# Scenes.


def write_scene_file(path, places, floor=True, scale=1.0):
    """Musicians on a floor, each in a colour that is its number, and some points in the air."""
    rng = np.random.default_rng(7)
    parts = [body(n, at) for n, at in enumerate(places)]
    xyz = [part[0] for part in parts] + [rng.uniform((-3, 0.2, -3), (3, 2.5, 3), (40, 3))]
    rgb = [np.full((len(part[0]), 3), 50 * n) for n, part in enumerate(parts)] + [np.full((40, 3), 255)]
    if floor:
        xyz.append(np.stack([*rng.uniform(-2.5, 2.5, (2, 20_000)), rng.normal(0, 0.004, 20_000)])[[0, 2, 1]].T)
        rgb.append(np.full((20_000, 3), 200))
    write_cloud(path, scale * np.concatenate(xyz), np.concatenate(rgb))


@pytest.fixture
def open3d():
    return pytest.importorskip("open3d", reason="open3d cannot be loaded here: scenes are not tested")


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_a_scene(run, tmp_path, open3d, scale):
    places = [(1.2, 0.3), (-1.3, 0.0), (0.1, -0.4)]
    write_scene_file(tmp_path / "scene.ply", places, scale=scale)
    code, printed, complaint = run("--scene", tmp_path / "scene.ply", points=())
    assert code == 0 and "scene.ply: 3 musicians" in printed, complaint
    out = tmp_path / "out"
    described = json.loads((out / "scene.json").read_text())
    for source, number in zip(described["sources"], (1, 2, 0), strict=True):  # from left to right
        at = places[number]
        assert source["centroid_m"] == pytest.approx([at[0], 0.87, at[1]], abs=0.1)
        assert source["size_m"] == pytest.approx([0.4, 1.65, 0.4], abs=0.15)
        xyz, rgb = read_cloud(str(out / source["cloud"]))
        assert len(xyz) == source["points"] > 2700
        own = np.abs(rgb * 255 - 50 * number).max(axis=1) < 1
        assert own.mean() > 0.98
        assert soundfile.info(out / source["stem"]).frames == soundfile.info("song.wav").frames
    assert described["unit_of_capture"] == ("m" if scale == 1 else "mm") and described["up_of_capture"] == "y"
    assert [source["stem"] for source in described["sources"]] == ["source1.wav", "source2.wav", "source3.wav"]
    assert (out / "scene.png").stat().st_size > 5000


def test_musicians_are_corrected_by_hand(run, tmp_path, open3d, monkeypatch):
    """--drop and --keep take candidates by their numbers, without a search; the stems and names follow."""
    write_scene_file(tmp_path / "scene.ply", [(-1.3, 0.0), (0.1, -0.4), (1.2, 0.3)])
    scene = ("--scene", tmp_path / "scene.ply")
    assert run(*scene, points=())[0] == 0
    described = json.loads((tmp_path / "out" / "scene.json").read_text())
    assert [one["number"] for one in described["candidates"]] == [1, 2, 3]
    assert [one["source"] for one in described["candidates"]] == ["source1", "source2", "source3"]
    assert all(0 <= one["score"] <= 1 for one in described["candidates"])

    monkeypatch.setattr("jobs.players.split_scene", None)
    code, printed, complaint = run(*scene, "--drop", 2, "--overwrite", 1, points=())
    assert code == 0 and "as found earlier" in printed and "scene.ply: 2 musicians" in printed, complaint
    described = json.loads((tmp_path / "out" / "scene.json").read_text())
    assert [one["source"] for one in described["candidates"]] == ["source1", None, "source2"]
    assert described["candidates"][1]["reason"] == "not wanted"
    xs = [source["centroid_m"][0] for source in described["sources"]]
    assert xs == pytest.approx([-1.3, 1.2], abs=0.1)
    code, _, complaint = run(*scene, "--keep", 1, 2, "--names", "a", "b", "--overwrite", 1, points=())
    assert code == 0, complaint
    xs = [source["centroid_m"][0] for source in json.loads((tmp_path / "out" / "scene.json").read_text())["sources"]]
    assert xs == pytest.approx([-1.3, 0.1], abs=0.1)

    for wrong, reason in (
        (("--keep", 4), "no candidate 4; there are 1 to 3, see scene.png"),
        (("--drop", 1, 2), "no candidate is left as a musician"),
        (("--keep", 1, "--num_sources", 2), "--keep and --drop go with --scene, and without --num_sources"),
        (("--keep", 1, "--drop", 2), "not allowed with argument"),
    ):
        code, _, complaint = run(*scene, *wrong, "--overwrite", 1, points=())
        assert code == 2 and reason in complaint and complaint.count("\n") == 1


def test_another_capture_is_searched(run, tmp_path, open3d):
    write_scene_file(tmp_path / "scene.ply", [(-1.3, 0.0), (1.2, 0.3)])
    scene = ("--scene", tmp_path / "scene.ply")
    assert run(*scene, points=())[0] == 0
    write_scene_file(tmp_path / "scene.ply", [(-1.4, 0.0), (0.1, 0.3), (1.4, 0.0)])
    code, printed, complaint = run(*scene, "--keep", 3, 1, "--overwrite", 1, points=())
    assert code == 0 and "as found earlier" not in printed and "2 musicians" in printed, complaint


def test_a_scene_in_the_coordinates_of_a_map(run, tmp_path, open3d):
    rng = np.random.default_rng(7)
    xyz = np.concatenate([body(n, at)[0] for n, at in enumerate([(-1.0, 0.0), (1.0, 0.2)])])
    floor = np.stack([*rng.uniform(-2.5, 2.5, (2, 20_000)), rng.normal(0, 0.004, 20_000)])[[0, 2, 1]].T
    far = np.concatenate([xyz, floor]) + (431_200.25, 212.5, 5_412_300.75)
    rows = np.column_stack([far, np.full((len(far), 3), 90)])
    np.savetxt(tmp_path / "scene.xyz", rows, "%.4f")
    code, printed, complaint = run("--scene", tmp_path / "scene.xyz", points=())
    assert code == 0 and "far from the origin: moved by" in printed, complaint
    described = json.loads((tmp_path / "out" / "scene.json").read_text())
    first = np.add(described["sources"][0]["centroid_m"], described["shift_m"])
    assert first.tolist() == pytest.approx([431_199.25, 213.37, 5_412_300.75], abs=0.1)


def test_names_of_a_scene_go_from_left_to_right(run, tmp_path, open3d):
    write_scene_file(tmp_path / "scene.ply", [(0.9, 0.0), (-0.9, 0.0)])
    code, _, complaint = run(
        *("--scene", tmp_path / "scene.ply", "--num_sources", 2, "--names", "cello", "violin"), points=()
    )
    assert code == 0, complaint
    sources = json.loads((tmp_path / "out" / "scene.json").read_text())["sources"]
    assert [source["name"] for source in sources] == ["cello", "violin"]
    assert sources[0]["centroid_m"][0] < sources[1]["centroid_m"][0]


def test_a_scene_with_nobody_is_told(run, tmp_path, open3d):
    write_scene_file(tmp_path / "scene.ply", [])
    code, _, complaint = run("--scene", tmp_path / "scene.ply", points=())
    assert code == 2 and "scene.ply: " in complaint and complaint.count("\n") == 1
    assert not (tmp_path / "out").exists()
