"""One process works in a run's folder."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT
from tiny_runs import TINY

from arguments import parse_arguments
from main import find_run
from runs.lock import LOCK, locked
from utils.errors import InputError, WriteError

HOLD = """
from pathlib import Path
from runs.lock import locked
with locked(Path({run!r})):
    print("held", flush=True)
    input()
"""


def test_two_processes_in_one_run(train, tmp_path):
    run = find_run(parse_arguments([*TINY, "--ckpt", str(tmp_path / "ckpt")]))
    command = [sys.executable, "-c", HOLD.format(run=str(run))]
    holder = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    for options in (["--resume", "1"], ["--overwrite", "1"], ["--mode", "eval", "--id", run.name]):
        with pytest.raises(InputError, match=f"process {holder.pid} is training or evaluating there") as error:
            train("--ckpt", "ckpt", *options)
        assert "\n" not in str(error.value)
    holder.kill()
    holder.communicate()
    assert (run / LOCK).exists()
    with locked(run):
        (run / "result").touch()
    assert [path.name for path in run.iterdir()] == ["result"]


def test_a_lock_leaves_no_folder_behind(tmp_path):
    with pytest.raises(InputError, match="bad"), locked(tmp_path / "a" / "b"):
        raise InputError("bad")
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="file: cannot be written"), locked(tmp_path / "file"):
        pass
