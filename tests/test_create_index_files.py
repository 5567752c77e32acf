"""The published split, seeded and repeatable."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT
from create_index_files import create_rows, split_by_share, split_performers, split_recordings

from utils.errors import InputError


def test_recordings_are_split_75_15_10():
    parts = split_recordings([Path(f"{k}.mp3") for k in range(100)], seed=0)
    assert {name: len(part) for name, part in parts.items()} == {"train": 75, "val": 15, "test": 10}
    assert len({path for part in parts.values() for path in part}) == 100


@pytest.mark.parametrize(
    ("number", "parts"),
    [
        (1, (0, 0, 1)),
        (4, (3, 0, 1)),
        (5, (3, 1, 1)),
        (10, (7, 2, 1)),
        (12, (9, 1, 2)),
        (18, (13, 3, 2)),
        (29, (21, 5, 3)),
    ],
)
def test_parts_are_rounded_as_in_the_reference(number, parts):
    """Which cuts at int(.75 n) and int(.9 n)."""
    found = split_recordings([Path(f"{k}.mp3") for k in range(number)], seed=0)
    assert tuple(map(len, found.values())) == parts


@pytest.mark.parametrize(("number", "enough"), [(4, False), (5, True), (10, True)])
def test_five_recordings_are_enough(data_tree, tmp_path, number, enough):
    shutil.copytree(data_tree / "data" / "audio" / "cello", tmp_path / "cello")
    for path in sorted((tmp_path / "cello").iterdir())[number:]:
        path.unlink()
    if enough:
        rows = create_rows(tmp_path, data_tree / "data" / "frames", 0)
        assert all(rows.values()) and sum(map(len, rows.values())) == number
    else:
        with pytest.raises(InputError, match="cello: not enough recordings .* for the val list"):
            create_rows(tmp_path, data_tree / "data" / "frames", 0)


@pytest.mark.parametrize(
    ("instrument", "train", "val", "test"),
    [("cello", range(1, 9), [9], [10]), ("violin", range(1, 10), [10, 11], [12, 13])],
)
def test_performers_are_split_by_number(instrument, train, val, test):
    folders = [Path(f"person_{k}") for k in (13, 2, 1, *range(3, 13))]
    parts = split_performers(folders, instrument)
    for name, numbers in (("train", train), ("val", val), ("test", test)):
        assert [folder.name for folder in parts[name]] == [f"person_{k}" for k in numbers]


def create(root, *options):
    command = [sys.executable, str(ROOT / "scripts" / "create_index_files.py"), *options]
    return subprocess.run(command, cwd=root, capture_output=True, text=True)


def test_command(data_tree):
    assert create(data_tree).returncode == 0
    first = {name: (data_tree / "data" / f"{name}.csv").read_text() for name in ("train", "val", "test")}
    assert create(data_tree).returncode == 0  # overwrites, never appends
    assert first == {name: (data_tree / "data" / f"{name}.csv").read_text() for name in first}
    counts = {name: Counter(line.split("/")[3] for line in text.splitlines()) for name, text in first.items()}
    assert counts["train"] == {"cello": 9, "sax": 9, "violin": 9}
    assert counts["val"] == {"cello": 1, "sax": 1, "violin": 1}
    assert first["train"].startswith("./data/audio/cello/")
    performers = [line.split(",")[1].split("/")[-1] for line in first["train"].splitlines() if "violin" in line]
    assert performers == [f"person_{k}" for k in range(1, 10)]  # in turn
    assert all(line.endswith(",4") for line in first["test"].splitlines())
    assert create(data_tree, "--seed", "5", "--path_output", "other").returncode == 0
    assert (data_tree / "other" / "train.csv").read_text() != first["train"]


def test_what_is_missing_is_named(data_tree, tmp_path):
    audio, frames = data_tree / "data" / "audio", data_tree / "data" / "frames"
    with pytest.raises(InputError, match="nowhere: no such folder"):
        create_rows(tmp_path / "nowhere", frames, 0)
    with pytest.raises(InputError, match="holds no folders"):
        create_rows(tmp_path, frames, 0)
    sounds = tmp_path / "sounds"
    (sounds / "harp").mkdir(parents=True)
    with pytest.raises(InputError, match="harp: no folder of this instrument"):
        create_rows(sounds, frames, 0)
    (tmp_path / "frames" / "harp" / "person_1").mkdir(parents=True)
    with pytest.raises(InputError, match="person_1: holds no frames"):
        create_rows(sounds, tmp_path / "frames", 0)
    (tmp_path / "frames" / "harp" / "person_1" / "00001.ply").touch()
    with pytest.raises(InputError, match="00001.ply stands where 00000.ply should; --renumber_frames 1"):
        create_rows(sounds, tmp_path / "frames", 0)
    (tmp_path / "frames" / "harp" / "person_1" / "00000.ply").touch()
    with pytest.raises(InputError, match="harp: not enough recordings"):
        create_rows(sounds, tmp_path / "frames", 0)
    result = create(tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert len(create_rows(audio, frames, 0)["train"]) == 27


@pytest.mark.parametrize("limit", [0, 500, 1000])
def test_a_full_disk_leaves_the_lists_as_they_were(data_tree, limit):
    """Of which the first ones are longer than the last, or shorter: they belong together."""
    assert create(data_tree, "--path_output", "lists").returncode == 0
    before = {path.name: path.read_text() for path in (data_tree / "lists").iterdir()}
    assert len(before["train.csv"]) > 1000 > 500 > len(before["val.csv"])
    for order in (("train", "val", "test"), ("test", "val", "train")):
        code = (
            "import resource, sys, create_index_files\n"
            f"create_index_files.SPLITS = {order}\n"
            f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
            "create_index_files.run_command(create_index_files.main)"
        )
        command = [sys.executable, "-c", code, "--path_output", "lists", "--seed", "5"]
        done = subprocess.run(
            command, cwd=data_tree, env={"PYTHONPATH": f"{ROOT / 'scripts'}"}, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (2, "") and "cannot be written (File too large)" in done.stderr
        assert {path.name: path.read_text() for path in (data_tree / "lists").iterdir()} == before


def test_half_written_recordings_are_passed_over(data_tree, tmp_path):
    sounds = shutil.copytree(data_tree / "data" / "audio", tmp_path / "audio")
    (sounds / "cello" / ".r99.0123456789abcdef.tmp.flac").touch()
    rows = create_rows(sounds, data_tree / "data" / "frames", 0)
    assert all("r99" not in row.audio_path for part in rows.values() for row in part)


@pytest.fixture
def own_data(data_tree, tmp_path):
    """Three performers of each instrument, whose names are none of the published split, and three recordings."""
    frames = data_tree / "data" / "frames" / "cello" / "person_1"
    for instrument in ("cello", "viola"):
        for name in ("anna", "béla 2", "person_3"):
            shutil.copytree(frames, tmp_path / "frames" / instrument / name)
        (tmp_path / "audio" / instrument).mkdir(parents=True)
        for recording in sorted((data_tree / "data" / "audio" / "cello").iterdir())[:3]:
            shutil.copy(recording, tmp_path / "audio" / instrument)
    return tmp_path


def create_lists(folder, *options):
    command = [sys.executable, ROOT / "scripts" / "create_index_files.py", *options]
    command += ["--root_audio", folder / "audio", "--root_frame", folder / "frames", "--path_output", folder]
    return subprocess.run(command, capture_output=True, text=True)


def test_performers_by_share(own_data):
    done = create_lists(own_data, "--split", "performers")
    assert done.returncode == 0, done.stderr
    lists = {name: (own_data / f"{name}.csv").read_text() for name in ("train", "val", "test")}
    for instrument in ("cello", "viola"):
        found = [re.findall(rf"{instrument}/(anna|béla 2|person_3),", text) for text in lists.values()]
        assert [len(part) for part in found] == [1, 1, 1] and len({*found[0], *found[1], *found[2]}) == 3
    assert create_lists(own_data, "--split", "performers").stdout == done.stdout
    assert lists == {name: (own_data / f"{name}.csv").read_text() for name in lists}


def test_numbers_that_decide_are_told_with_the_way_out(own_data):
    for folder, number in zip(sorted((own_data / "frames" / "viola").iterdir()), (1, 2, 3), strict=True):
        folder.rename(folder.with_name(f"person_{number}"))
    shutil.rmtree(own_data / "frames" / "cello")
    shutil.rmtree(own_data / "audio" / "cello")
    for number in range(4, 6):
        shutil.copy(next((own_data / "audio" / "viola").iterdir()), own_data / "audio" / "viola" / f"{number}.mp3")
    done = create_lists(own_data)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "viola: not enough performers" in done.stderr and "for the val list; their numbers decide" in done.stderr
    assert "person_1 to 9 train, to 11 val, to 13 test; --split performers goes by share" in done.stderr
    assert create_lists(own_data, "--split", "performers").returncode == 0


def test_two_performers_are_too_few_by_share(own_data):
    shutil.rmtree(own_data / "frames" / "viola" / "anna")
    done = create_lists(own_data, "--split", "performers")
    assert done.returncode == 2 and "viola: not enough performers" in done.stderr and "three or more" in done.stderr


@pytest.mark.parametrize(("number", "parts"), [(3, (1, 1, 1)), (4, (2, 1, 1)), (5, (3, 1, 1)), (10, (7, 2, 1))])
def test_every_part_gets_a_share(number, parts):
    found = split_by_share([Path(f"{k}") for k in range(number)], seed=3)
    assert tuple(map(len, found.values())) == parts
    assert len({path for part in found.values() for path in part}) == number
