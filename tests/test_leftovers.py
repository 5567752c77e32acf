"""What killed processes leave: removed by the next of the same command, and nothing of those that still write."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

from dataset.index import write_index
from reports.page import writing_page
from utils import leftovers
from utils.files import TEMPORARY, remove_leftovers, replacing

WRITER = """
import sys, time
from pathlib import Path
from reports.page import writing_page
from utils.files import replacing
from utils.leftovers import scratch
kind, path = sys.argv[1], Path(sys.argv[2])
def wait(place):
    (place / "x" if place.is_dir() else place).write_text("half")
    print(place, flush=True)
    time.sleep(60)
if kind == "file":
    with replacing(path) as place: wait(place)
elif kind == "page":
    with writing_page(path) as (place, page): wait(place)
else:
    with scratch("test") as place: wait(place)
"""


@pytest.fixture
def writer():
    """Starts a process that writes something until it is killed -> the process and its temporary path."""
    started = []

    def start(kind, path):
        command = [sys.executable, "-c", WRITER, kind, str(path)]
        started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        return started[-1], Path(started[-1].stdout.readline().strip())

    yield start
    for process in started:
        kill(process)


def kill(process):
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_file_that_a_killed_writer_left(writer, tmp_path):
    path = tmp_path / "a.wav"
    killed, left = writer("file", path)
    kill(killed)
    alive, held = writer("file", path)
    _, other = writer("file", tmp_path / "b.wav")
    strange = tmp_path / ".a.note.tmp.wav"
    strange.touch()
    assert not left.exists()  # the second writer removed it
    with replacing(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole" and held.read_text() == other.read_text() == "half" and strange.exists()
    kill(alive)
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([path, other, strange])


def test_a_page_that_a_killed_writer_left(writer, tmp_path):
    folder = tmp_path / "report"
    killed, left = writer("page", folder)
    kill(killed)
    _, held = writer("page", folder)
    _, other = writer("page", tmp_path / "comparison")
    assert not left.exists() and held.exists()
    with writing_page(folder) as (new, page):
        (new / "mine.txt").write_text("x")
        page |= {"title": "t"}
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([folder, held, other]) and (held / "x").exists()


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_page_that_was_being_replaced_is_not_lost(tmp_path, is_replaced):
    """Killed between the renames: the page that stood there, with somebody's own file, has a temporary name."""
    folder = tmp_path / "report"
    for title in ("first", "second")[: 1 + is_replaced]:
        with writing_page(folder) as (_, page):
            page |= {"title": title}
        if title == "first":
            (folder / "notes.txt").write_text("mine")
            if is_replaced:
                folder.rename(tmp_path / f".report.{16 * 'a'}.tmp")
    if not is_replaced:
        folder.rename(tmp_path / f".report.{16 * 'a'}.tmp")
    with pytest.raises(KeyError), writing_page(folder):  # that ends early
        raise KeyError
    assert list(tmp_path.iterdir()) == [folder] and (folder / "notes.txt").read_text() == "mine"
    assert ("second" if is_replaced else "first") in (folder / "data.js").read_text()


def test_a_scratch_folder_that_a_killed_process_left(writer, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    killed, left = writer("scratch", "x")
    kill(killed)
    _, held = writer("scratch", "x")
    with leftovers.scratch("test") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert not left.exists() and (held / "x").exists()
    assert list(tmp_path.iterdir()) == [held]


def test_without_locks_nothing_counts_as_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(leftovers, "fcntl", None)
    other = tmp_path / f".a.{16 * '0'}.tmp.json"
    other.touch()
    with replacing(tmp_path / "a.json") as temporary:
        temporary.write_text("{}")
    remove_leftovers(tmp_path)
    assert other.exists() and (tmp_path / "a.json").read_text() == "{}" and TEMPORARY.fullmatch(other.name)


COMMANDS = {  # what writes, on a small data set -> the words of its command line
    "build_cache.py": ["--list", "list.csv", "--cache", "out", "--workers", "2"],
    "prepare_audio.py": ["data/audio/cello", "--output", "out", "--workers", "2"],
    "make_demo_data.py": [
        *("--output", "out", "--recordings", "5", "--seconds", "1", "--performers", "1", "--frames", "1"),
        *("--bodies", "1", "--workers", "2"),
    ],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_that_are_killed_and_run_again(data_tree, rows, name):
    """At several moments after the first temporary file is there: in the end the files are those of a quiet run."""
    write_index(data_tree / "list.csv", rows)
    command = [sys.executable, str(ROOT / "scripts" / name), *COMMANDS[name]]
    out = data_tree / "out"

    def files():
        return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}

    quiet = subprocess.run(command, cwd=data_tree, capture_output=True, text=True)
    assert quiet.returncode in (0, 2), quiet.stderr
    expected = files()
    subprocess.run(["rm", "-r", str(out)], check=True)
    for wait_s in (0.0, 0.2):
        process = subprocess.Popen(command, cwd=data_tree, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not any(out.rglob("*.*")):
            time.sleep(0.005)
        time.sleep(wait_s)
        process.kill()
        process.wait()
    again = subprocess.run(command, cwd=data_tree, capture_output=True, text=True)
    assert again.returncode == quiet.returncode, again.stderr
    assert files() == expected
    assert not [path for path in data_tree.rglob(".*") if TEMPORARY.fullmatch(path.name)]
    subprocess.run(["rm", "-r", str(out)], check=True)


def test_a_folder_that_is_taken_before_it_is_locked(tmp_path, monkeypatch):
    """Another process may remove it at once, as left behind: then another one is made."""
    opened, names = os.open, iter("abc")

    def open_late(path, *arguments):
        if path == tmp_path / "a":
            path.rmdir()
        return opened(path, *arguments)

    monkeypatch.setattr(leftovers.os, "open", open_late)
    with leftovers.making(lambda: tmp_path / next(names), is_folder=True) as made:
        assert made == tmp_path / "b" and made.is_dir()
