"""Standard streams that are closed from the beginning, or before the command ends."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import soundfile
from conftest import ROOT, write_cloud
from media_files import sound, write_media
from test_separator import music, write_run

from dataset.index import IndexRow, write_index
from utils.errors import CLOSED_PIPE


@pytest.fixture
def folder(tmp_path):
    """Recordings of several formats, in a list; two clouds and a run."""
    (tmp_path / "cello").mkdir()
    for name in ("a.mp3", "b.flac", "c.ogg", "d.wav"):
        soundfile.write(tmp_path / "cello" / name, sound(44100), 44100)
    content = (tmp_path / "cello" / "b.flac").read_bytes()
    (tmp_path / "cello" / "b.flac").write_bytes(b"ID3\4\0\0\0\0\0\5tag  " + content)
    write_media(tmp_path / "cello" / "e.mp4")
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        xyz = rng.uniform(-0.4, 0.4, (500, 3)) * (1, 2, 1)
        write_cloud(tmp_path / f"{name}.ply", xyz, rng.integers(0, 256, (500, 3)))
    write_cloud(tmp_path / "frames" / "00000.ply", xyz, rng.integers(0, 256, (500, 3)))
    names = ("a.mp3", "b.flac", "c.ogg", "d.wav", "e.mp4")
    write_index(tmp_path / "list.csv", [IndexRow(f"cello/{name}", "frames", 1) for name in names])
    return tmp_path


COMMANDS = {
    "prepare_audio.py": "cello --output out --workers 1",
    "check_data.py": "--list_train list.csv --list_val= --list_test= --workers 1",
}


@pytest.mark.parametrize("closed", ["2>&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_closed_from_the_beginning(folder, closed):
    """A file that is opened next gets the number of the stream, and what is printed there."""
    script = ROOT / "scripts" / "prepare_audio.py"
    for output, streams in (("open", ""), ("closed", closed)):
        line = f'exec "$0" "$1" cello --output {output} --workers 1 {streams}'
        assert subprocess.run(["sh", "-c", line, sys.executable, script], cwd=folder).returncode == 0
    names = [f"{letter}.flac" for letter in "abcde"]
    for name in names:
        assert (folder / "open" / name).read_bytes() == (folder / "closed" / name).read_bytes()
    assert sorted(path.name for path in (folder / "closed").iterdir()) == names
    line = f'exec "$0" "$1" {COMMANDS["check_data.py"]} --json found.json --num_mix 2 {closed}'
    subprocess.run(["sh", "-c", line, sys.executable, ROOT / "scripts" / "check_data.py"], cwd=folder)
    assert "unreadable recording" not in (folder / "found.json").read_text()


def ended(folder, script, *arguments) -> tuple[int, str]:
    """Exit code and complaints of a command whose output nobody reads."""
    command = [sys.executable, ROOT / "scripts" / script, *arguments]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    complaint = process.stderr.read()
    return process.wait(timeout=120), complaint


@pytest.mark.parametrize("script", COMMANDS)
def test_output_that_nobody_reads(folder, script):
    assert ended(folder, script, *COMMANDS[script].split()) == (CLOSED_PIPE, "")


def test_stems_are_not_to_blame(folder):
    """The pipe breaks while the stems are being written."""
    (folder / "run").mkdir()
    write_run(folder / "run")
    soundfile.write(folder / "song.wav", music(seconds=2.5, rate=22050)[0], 22050)
    options = ["--mixture", "song.wav", "--points", "one.ply", "two.ply", "--run", "run", "--device", "cpu"]
    assert ended(folder, "separate.py", *options) == (CLOSED_PIPE, "")
    assert not list((folder / "out").glob("*"))
