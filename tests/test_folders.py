"""Folders as they are: hidden ones, other formats, other names; frames that are numbered in another way."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from test_create_index_files import create

from dataset.downloads import by_name
from dataset.folders import LeftOut, count_frames, find_recordings
from dataset.index import read_index
from utils.errors import InputError

NOT_UTF8 = os.fsdecode(b"caf\xe9")


@pytest.fixture
def tree(data_tree, tmp_path):
    """The shared data set, in a folder that a test may change."""
    shutil.copytree(data_tree / "data", tmp_path / "data", ignore=shutil.ignore_patterns("*.csv"))
    return tmp_path


def test_what_is_in_no_list_is_told(tree):
    audio, frames = tree / "data" / "audio", tree / "data" / "frames"
    for hidden in (audio / ".ipynb_checkpoints", audio / "__MACOSX" / "cello", frames / "@eaDir", audio / NOT_UTF8):
        hidden.mkdir(parents=True)
    (frames / "cello" / ".ipynb_checkpoints").mkdir()
    (frames / "cello" / "somebody").mkdir()
    (audio / "cello" / "more").mkdir()
    for name in ("a.m4a", "b.m4a", "c.opus", "README", ".hidden.mp3", f"{NOT_UTF8}.mp3"):
        (audio / "cello" / name).touch()
    shutil.copy(audio / "cello" / "r00.mp3", audio / "cello" / "r00.wav")
    done = create(tree)
    assert (done.returncode, done.stderr) == (0, "")
    names = [
        row.audio_path for name in ("train", "val", "test") for row in read(tree, name) if "cello" in row.audio_path
    ]
    assert len(names) == 12 and "./data/audio/cello/r00.wav" not in names
    for expected in (
        "data/audio/.ipynb_checkpoints: a hidden folder",
        "data/audio/__MACOSX: a hidden folder",
        "data/frames/@eaDir: a hidden folder",
        "data/audio/caf\\udce9: its name is not UTF-8, as an index file is; rename it",
        "data/frames/cello/.ipynb_checkpoints: a hidden folder",
        "data/frames/cello/somebody: not named person_<number>; --split performers takes any name",
        "data/frames/cello/person_11: beyond the published split, which ends with person_10",
        "data/audio/cello/more: a folder; recordings lie directly in that of their instrument",
        "data/audio/cello: 2 file(s) *.m4a: not .mp3 .wav .flac .ogg; convert them with scripts/prepare_audio.py",
        "data/audio/cello: 1 file(s) *.opus: not .mp3 .wav .flac .ogg; convert them with scripts/prepare_audio.py",
        "data/audio/cello: 1 file(s) without an ending: not .mp3 .wav .flac .ogg; "
        "convert them with scripts/prepare_audio.py",
        "data/audio/cello: 1 file(s) that are hidden",
        "data/audio/cello/caf\\udce9.mp3: its name is not UTF-8, as an index file is; rename it",
        "data/audio/cello/r00.wav: of the same name as data/audio/cello/r00.mp3, which is taken",
    ):
        assert f"left out: {expected}\n" in done.stdout, expected
    assert done.stdout.endswith("36 recordings in the lists, 17 files and folders left out\n")


def read(tree, name):
    before = os.getcwd()
    os.chdir(tree)
    try:
        return read_index(f"data/{name}.csv")
    finally:
        os.chdir(before)


def test_instruments_and_ids_as_they_are_named(tmp_path):
    folder = tmp_path / "acoustic_guitar"
    folder.mkdir()
    for name in ("-0abcdefghi.mp3", "--x.flac", "DoubleBass, live.OGG", "音楽.wav"):
        (folder / name).touch()
    left_out = LeftOut()
    assert len(find_recordings(folder, left_out)) == 4 and left_out.lines() == []


@pytest.mark.parametrize("letter", ["\n", "\r", "\t", "\x1b", "\x85", "\u2028"])
def test_names_that_would_break_a_line(tree, letter):
    """Of which a list, a log and a terminal make something else."""
    audio, frames = tree / "data" / "audio", tree / "data" / "frames"
    shutil.copy(audio / "cello" / "r00.mp3", audio / "cello" / f"a{letter}b.mp3")
    (frames / f"drum{letter}s").mkdir()
    assert list(by_name([Path(f"a{letter}b.mp3")])) == ["a_b"]
    done = create(tree)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("its name holds a line break or the like; rename it\n") == 2
    assert len(done.stdout.split("\n")) == 3 + done.stdout.count("left out: ") + 1 + 1
    names = [row.audio_path for name in ("train", "val", "test") for row in read(tree, name)]
    assert len(names) == 36 and not any(letter in name for name in names)


def test_folders_of_music_and_solos(tree):
    for name in ("audio", "frames"):
        (tree / "data" / name / "cello").rename(tree / "data" / name / "acoustic_guitar")
        (tree / "data" / name / "sax").rename(tree / "data" / name / "DoubleBass")
    assert create(tree).returncode == 0
    assert {row.instrument for row in read(tree, "train")} == {"guitar", "doublebass", "violin"}
    shutil.copytree(tree / "data" / "audio" / "violin", tree / "data" / "audio" / "guitar")
    done = create(tree)
    assert (
        done.returncode == 2 and "acoustic_guitar and data/audio/guitar: two folders of one instrument" in done.stderr
    )


NUMBERED = [
    ("from 1", ["00001.ply", "00002.ply"]),
    ("a gap", ["00000.ply", "00001.ply", "00003.ply"]),
    ("capitals", ["00000.PLY", "00001.PLY"]),
    ("few digits", [f"{n}.ply" for n in range(12)]),
    ("many digits", ["000000.ply", "000001.ply"]),
    ("with a name", ["frame_9.ply", "frame_10.ply", "frame_11.Ply"]),
]


@pytest.mark.parametrize(("name", "names"), NUMBERED, ids=[case[0] for case in NUMBERED])
def test_frames_that_are_numbered_in_another_way(tmp_path, name, names):
    for content in names:
        (tmp_path / content).write_text(content)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "._00000.ply").touch()
    with pytest.raises(InputError, match="--renumber_frames 1 renames them"):
        count_frames(tmp_path)
    assert count_frames(tmp_path, renumber=True) == len(names) == count_frames(tmp_path)
    assert [(tmp_path / f"{n:05d}.ply").read_text() for n in range(len(names))] == names


def test_two_frames_of_one_number(tmp_path):
    for name in ("00000.ply", "0.PLY"):
        (tmp_path / name).touch()
    for renumber in (False, True):
        with pytest.raises(InputError, match="are frames of one number; remove one of them"):
            count_frames(tmp_path, renumber)


def test_the_command_renumbers(tree):
    folder = tree / "data" / "frames" / "cello" / "person_1"
    (folder / "00000.ply").rename(folder / "00009.ply")
    done = create(tree)
    assert done.returncode == 2 and "person_1: frames must be named" in done.stderr and done.stderr.count("\n") == 1
    assert create(tree, "--renumber_frames", "1").returncode == 0 == create(tree).returncode
    assert sorted(path.name for path in folder.iterdir()) == [f"{n:05d}.ply" for n in range(4)]
