"""The check of a data set: every kind of finding, the table, the exit code."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import check_data as script
import numpy as np
import pytest
import soundfile
from conftest import ROOT, write_cloud

from dataset.check import Needs, check_cloud, check_data, find_frames
from dataset.check_recordings import check_recording
from dataset.findings import ERRORS, WARNINGS, Finding
from dataset.index import IndexRow, write_index

RATE = 11025
LISTS = ("train", "val", "test")
NEEDS = Needs(aud_len=8191)
RNG = np.random.default_rng(0)
XYZ = RNG.uniform(-0.8, 0.8, (60, 3))
RGB = RNG.integers(0, 256, (60, 3))


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Three lists with two instruments each, a recording and a performer of three frames a row, nothing wrong."""
    monkeypatch.chdir(tmp_path)
    for name in LISTS:
        rows = []
        for instrument in ("cello", "violin"):
            audio, frames = f"audio/{instrument}/{name}.wav", f"frames/{instrument}/{name}"
            (tmp_path / audio).parent.mkdir(parents=True, exist_ok=True)
            write_sound(tmp_path / audio, 0.1 * RNG.standard_normal(2 * RATE))
            for frame in range(3):
                write_cloud(tmp_path / frames / f"{frame:05d}.ply", XYZ, RGB)
            rows.append(IndexRow(audio, frames, 3))
        write_index(tmp_path / f"{name}.csv", rows)
    return tmp_path


def write_sound(path, wave, rate=RATE):
    soundfile.write(path, wave, rate, subtype="FLOAT")


def found(needs: Needs = NEEDS):
    return check_data({name: f"{name}.csv" for name in LISTS}, needs)


def add(name: str, line: str) -> None:
    with open(f"{name}.csv", "a") as file:
        file.write(line + "\n")


def test_nothing_is_wrong(tree):
    summaries, findings = found()
    assert findings == []
    for name, summary in zip(LISTS, summaries, strict=True):
        assert (summary.path, summary.rows, summary.performers, summary.frames) == (f"{name}.csv", 2, 2, 6)
        assert summary.hours == pytest.approx(4 / 3600)
        assert summary.instruments == {"cello": 1, "violin": 1} and not summary.problems


def shortened(path):
    path.write_bytes(path.read_bytes()[:-100])


def loud(path):
    write_sound(path, (5 * RNG.standard_normal(2 * RATE)).clip(-1, 1))


def with_nan(path):
    wave = RNG.standard_normal(2 * RATE)
    wave[RATE] = np.nan
    write_sound(path, wave)


AUDIO, CLOUD = "audio/cello/val.wav", "frames/cello/val/00001.ply"
DAMAGES = [
    ("unreadable recording", AUDIO, lambda path: path.write_text("text"), "cannot be read as audio"),
    ("unreadable recording", AUDIO, lambda path: path.unlink(), "no such file"),
    ("unreadable recording", AUDIO, lambda path: write_sound(path, np.zeros(0)), "holds no samples"),
    ("NaN in recording", AUDIO, with_nan, "holds NaN or infinite samples"),
    ("silent recording", AUDIO, lambda path: write_sound(path, np.zeros(2 * RATE)), "never louder than 0"),
    ("short recording", AUDIO, lambda path: write_sound(path, np.ones(5000) / 2), "0.45 s, shorter than the window"),
    ("other rate", AUDIO, lambda path: write_sound(path, RNG.uniform(-0.1, 0.1, 90_000), 44100), "44100 Hz, not 11025"),
    ("clipped recording", AUDIO, loud, "8.* % of its samples are at full scale"),
    ("missing frames", CLOUD, lambda path: path.unlink(), "1 of 3 frames are not there: 00001.ply"),
    ("unreadable cloud", CLOUD, shortened, "cannot be read as a PLY point cloud"),
    ("unreadable cloud", CLOUD, lambda path: write_cloud(path, XYZ * 1e4, RGB), "are the clouds in metres"),
    ("cloud without colours", CLOUD, lambda path: write_cloud(path, XYZ), "--rgbs_feature 0"),
    ("implausible height", CLOUD, lambda path: write_cloud(path, XYZ * 39, RGB), "high along Y, expected 0.5 to 3.0 m"),
    ("implausible height", CLOUD, lambda path: write_cloud(path, XYZ[:1], RGB[:1]), "0 high along Y"),
]


@pytest.mark.parametrize(("kind", "path", "damage", "reason"), DAMAGES)
def test_a_file_that_is_wrong(tree, kind, path, damage, reason):
    damage(tree / path)
    summaries, (finding,) = found()
    named = "frames/cello/val" if kind == "missing frames" else path
    assert (finding.kind, finding.path, finding.lists) == (kind, named, ("val",))
    assert re.search(reason, finding.reason) and path not in finding.reason.split(":")[0]
    assert finding.is_error == (kind in ERRORS) != (kind in WARNINGS)
    assert [dict(summary.problems) for summary in summaries] == [{}, {kind: 1}, {}]


def test_a_folder_of_frames_that_is_not_there(tree):
    (finding,) = find_frames("frames/cello/nobody", 2)[1]
    assert finding.kind == "missing frames" and "no such file" in finding.reason
    (finding,) = find_frames("frames/cello/val", 9)[1]
    assert finding.reason == "6 of 9 frames are not there: 00003.ply, 00004.ply, 00005.ply ..."


def test_rows_that_are_wrong(tree):
    add("val", "audio/cello/val.wav,frames/cello/val,many")
    add("val", "audio/cello/val.wav;frames/cello/val;3")
    _, findings = found()
    assert [(f.kind, f.path) for f in findings] == [("wrong row", "val.csv:3"), ("wrong row", "val.csv:4")]
    assert findings[0].reason.startswith("the number of frames is 'many'") and findings[1].lists == ("val",)


def test_too_few_frames_and_instruments(tree):
    _, findings = found(Needs(aud_len=8191, num_mix=3, num_frames=3, stride_frames=2))
    kinds = [f.kind for f in findings]
    assert kinds == ["too few frames"] * 6 + ["too few instruments"] * 3
    assert findings[0].path == "test.csv:1" and findings[0].reason.startswith("3 frame(s)")
    assert findings[-1].reason == "holds 2 instrument(s) (cello, violin), --num_mix needs 3"


def test_what_lists_share(tree):
    add("val", "./audio/violin/train.wav,frames/violin/../violin/test,3")
    summaries, findings = found()
    recording, performer = findings
    assert (recording.kind, recording.path) == ("shared recording", "audio/violin/train.wav")
    assert recording.lists == ("train", "val") and "./audio/violin/train.wav" in recording.reason
    assert (performer.kind, set(performer.lists)) == ("shared performer", {"val", "test"})
    assert recording.is_error and performer.is_error
    assert [sum(summary.problems.values()) for summary in summaries] == [1, 2, 1]


def test_a_copy_of_a_recording_is_shared(tree):
    (tree / "audio/cello/test.wav").write_bytes((tree / "audio/cello/train.wav").read_bytes())
    _, (finding,) = found()
    assert finding.kind == "shared recording" and finding.lists == ("train", "test")


def test_a_row_that_comes_twice_in_a_list_is_not_shared(tree):
    add("val", "audio/cello/val.wav,frames/cello/val,2")
    summaries, findings = found()
    assert findings == [] and (summaries[1].rows, summaries[1].frames) == (3, 6)
    assert summaries[1].hours == summaries[0].hours


@pytest.mark.parametrize(("clouds", "read"), [("all", 40), ("sampled", 5), ("none", 0)])
def test_which_clouds_are_read(tree, monkeypatch, clouds, read):
    for frame in range(40):
        write_cloud(tree / "frames" / "long" / f"{frame:05d}.ply", XYZ)
    write_index(tree / "val.csv", [IndexRow("audio/cello/val.wav", "frames/long", 40)])
    findings = check_data({"val": "val.csv"}, Needs(aud_len=8191, clouds=clouds))[1]
    paths = [f.path for f in findings if f.kind == "cloud without colours"]
    assert len(paths) == read and (not read or {"frames/long/00000.ply", "frames/long/00039.ply"} <= set(paths))


def test_long_recordings_are_read_to_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("dataset.decoders.BLOCK", 1000)
    wave = RNG.uniform(-0.1, 0.1, 10_500)
    write_sound(tmp_path / "a.wav", wave)
    assert check_recording(str(tmp_path / "a.wav"), RATE, 8191).findings == []
    wave[-1] = np.nan
    write_sound(tmp_path / "a.wav", wave)
    assert check_recording(str(tmp_path / "a.wav"), RATE, 8191).findings[0].kind == "NaN in recording"


def test_height_leaves_stray_points_out(tmp_path):
    xyz = RNG.uniform(-0.8, 0.8, (1000, 3))
    xyz[0, 1] = 30
    write_cloud(tmp_path / "a.ply", xyz, np.zeros((1000, 3)))
    assert check_cloud(str(tmp_path / "a.ply"), 0.02) == []


# The command.


def run(monkeypatch, capsys, *options):
    lists = [f"--list_{name}={name}.csv" for name in LISTS]
    monkeypatch.setattr(sys, "argv", ["check_data.py", *lists, "--audLen", "8191", "--workers", "1", *options])
    code = script.main()
    return code, capsys.readouterr().out


def test_exit_codes_and_table(tree, monkeypatch, capsys):
    code, out = run(monkeypatch, capsys)
    assert code == 0 and "0 error(s), 0 warning(s)" in out
    write_cloud(tree / CLOUD, XYZ)
    code, out = run(monkeypatch, capsys)
    assert code == 0 and f"warning: {CLOUD}: no red, green, blue" in out and "0 error(s), 1 warning(s)" in out
    (tree / AUDIO).write_text("text")
    code, out = run(monkeypatch, capsys)
    assert code == 2 and f"error: {AUDIO}: cannot be read as audio" in out and "1 error(s), 1 warning(s)" in out
    table = {line[:24].strip(): line[24:].split() for line in out.splitlines()}
    assert table[""] == list(LISTS)
    assert table["rows"] == table["performers"] == table["instruments"] == ["2", "2", "2"]
    assert table["frames"] == ["6", "6", "6"] and table["cello"] == ["1", "1", "1"]
    assert table["errors"] == table["unreadable recording"] == ["0", "1", "0"]
    assert table["warnings"] == table["cloud without colours"] == ["0", "1", "0"]


def test_lines_are_limited_and_json_is_not(tree, monkeypatch, capsys):
    for name in LISTS:
        for frame in range(3):
            write_cloud(tree / "frames" / "cello" / name / f"{frame:05d}.ply", XYZ)
    code, out = run(monkeypatch, capsys, "--most", "2", "--json", "found.json")
    assert code == 0 and out.count("no red, green, blue") == 2
    assert "warning: cloud without colours: and 7 more" in out
    content = json.loads((tree / "found.json").read_text())
    assert len(content["findings"]) == 9 and content["lists"]["val"]["problems"] == {"cloud without colours": 3}
    first = content["findings"][0]
    assert (first["level"], first["lists"], first["path"]) == ("warning", ["test"], "frames/cello/test/00000.ply")


def test_a_list_may_be_left_out(tree, monkeypatch, capsys):
    code, out = run(monkeypatch, capsys, "--list_val=", "--list_test=", "--clouds", "none")
    assert code == 0 and "train" in out and "val" not in out and "test" not in out


def test_findings_come_errors_first():
    findings = [Finding("wrong row", "a.csv:1", "x"), Finding("other rate", "b.wav", "y")]
    assert script.format_findings(findings, 1) == ["error: a.csv:1: x", "warning: b.wav: y"]


def test_in_processes(tree):
    (tree / "audio" / "cello" / "test.wav").write_bytes(b"")
    command = [
        sys.executable,
        str(ROOT / "scripts" / "check_data.py"),
        *(f"--list_{name}={name}.csv" for name in LISTS),
    ]
    result = subprocess.run([*command, "--audLen", "8191", "--workers", "2"], capture_output=True, text=True)
    assert result.returncode == 2 and result.stderr == "", result.stderr
    assert "recordings [6/6]" in result.stdout and "clouds [18/18]" in result.stdout
    assert "error: audio/cello/test.wav: cannot be read as audio (the file is empty)" in result.stdout
    result = subprocess.run([*command, "--list_val", "nowhere.csv"], capture_output=True, text=True)
    assert result.returncode == 2 and result.stderr.startswith("error: nowhere.csv: cannot be read")
    assert result.stderr.count("\n") == 1
