"""Names as disks hold them: long ones, of any script or of none, in logs of any encoding."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
from conftest import ROOT
from media_files import sound, write_media
from tiny_runs import run_of

from dataset.audio import recording_length
from dataset.index import IndexRow, write_index
from dataset.music import SourceDraw
from evaluation import folder_name
from utils.files import LONGEST_NAME, cut_bytes, replacing

TITLE = (
    "弦楽四重奏曲第十四番嬰ハ短調作品百三十一第七楽章アレグロ・演奏会録音全曲版・二千二十年"  # of more than 40 letters
)
NOT_UTF8 = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize("title", [TITLE, "é" * 120, "a" * 250, "🎻" * 60])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_folders_of_mixtures_are_named_within_what_a_disk_takes(title, count):
    rows = [IndexRow(f"data/audio/instrument {n} {title[:50]}/{title}.mp3", "frames", 1) for n in range(count)]
    name = folder_name(7, [SourceDraw(row, 0, (0,)) for row in rows])
    assert name.startswith("0007_instrument 0") and len(os.fsencode(name)) <= LONGEST_NAME
    assert name.encode().decode() == name and name.count("+") == count - 1
    assert folder_name(0, [SourceDraw(IndexRow("a/cello/x.mp3", "f", 1), 0, (0,))] * 2) == "0000_cello-x+cello-x"


@pytest.mark.parametrize("name", ["a" * 300, "é" * 200, "音" * 100, "🎻" * 70, "short"])
def test_names_are_cut_between_letters(name):
    for most in range(1, 40):
        cut = cut_bytes(name, most)
        assert name.startswith(cut) and most - 4 < len(cut.encode()) <= most or cut == name


@pytest.mark.parametrize("stem", ["a" * 251, "é" * 125, "音" * 83])
def test_files_with_the_longest_names_are_written_whole(tmp_path, stem):
    with replacing(tmp_path / f"{stem}.wav") as temporary:
        temporary.write_text("content")
        assert len(os.fsencode(temporary.name)) <= LONGEST_NAME
    assert [path.name for path in tmp_path.iterdir()] == [f"{stem}.wav"]


def test_a_run_on_recordings_with_long_titles(train, rows, tmp_path):
    named = []
    for n, row in enumerate(rows):
        path = tmp_path / "sounds" / Path(row.audio_path).parent.name / f"{n}{TITLE}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(row.audio_path, path)
        named.append(replace(row, audio_path=str(path)))
    write_index(tmp_path / "list.csv", named)
    train("--num_vis", "4", "--num_val", "4", "--num_epoch", "1")
    assert len(list((run_of(tmp_path / "ckpt") / "visualization").iterdir())) == 4


def script(name: str, *arguments, cwd, encoding="utf-8") -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)]
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_logs_of_another_encoding(tmp_path, encoding):
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / f"{TITLE}.wav", 9 * sound(8000), 8000, subtype="FLOAT")
    (tmp_path / "in" / f"{TITLE}2.mp3").write_text("no sound")
    done = script("prepare_audio.py", "in", "--output", "out", "--workers", "1", cwd=tmp_path, encoding=encoding)
    assert done.returncode == 2 and b"1 written, 0 there before, 1 unreadable" in done.stdout, done.stderr
    shown = TITLE.encode(encoding, "backslashreplace")
    assert (
        b"note: in/" + shown in done.stdout and done.stderr.startswith(b"in/" + shown) and done.stderr.count(b"\n") == 1
    )
    write_index(tmp_path / "list.csv", [IndexRow(f"out/{TITLE}.flac", f"{TITLE}", 1)])
    lists = ["--list_train", "list.csv", "--list_val=", "--list_test="]
    done = script("check_data.py", *lists, "--workers", "1", cwd=tmp_path, encoding=encoding)
    assert done.returncode == 2 and done.stderr == b"" and b"error: " + shown + b": cannot be read" in done.stdout


def test_names_that_are_not_utf8(tmp_path):
    (tmp_path / NOT_UTF8).mkdir()
    for name in ("a.wav", "b.flac", "c.ogg", "d.mp3"):
        soundfile.write(tmp_path / name, sound(44100), 44100)
    write_media(tmp_path / "e.m4a", video=False)
    for path in sorted(tmp_path.glob("*.*")):
        path.rename(tmp_path / NOT_UTF8 / f"{path.stem}{NOT_UTF8}{path.suffix}")
        length = recording_length(str(tmp_path / NOT_UTF8 / f"{path.stem}{NOT_UTF8}{path.suffix}"), 11025)
        assert length == pytest.approx(22_050, abs=700)
    done = script("prepare_audio.py", NOT_UTF8, "--output", "out", "--workers", "1", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == b"" and b"5 written" in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{letter}caf_.flac" for letter in "abcde"]
    done = script("prepare_audio.py", "out", "--output", NOT_UTF8, "--format", "wav", "--workers", "1", cwd=tmp_path)
    assert done.returncode == 0 and b"5 written" in done.stdout, done.stderr
