"""Runs that cannot write: one line, and what was there stays whole."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest
import torture
from conftest import ROOT
from tiny_runs import run_of, same

from utils.errors import WriteError


@pytest.mark.parametrize("limit", [0, 3_000, 100_000, -100])
def test_a_full_disk(train, whole_run, limit, tmp_path, capsys):
    """Files may grow to `limit` bytes, a negative one counts from the size of last.pth; output is kept in memory."""
    train("--ckpt", "two")
    run = run_of(tmp_path / "two")
    before = {path: path.read_bytes() for path in run.glob("*.pth")}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit < 0:
        limit += (run / "last.pth").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))  # Python ignores SIGXFSZ: the write fails
    try:
        with pytest.raises(WriteError, match=r"cannot be written \(File too large\)") as error:
            train("--ckpt", "two", "--resume", "1", "--num_epoch", "3")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)
    assert before == {path: path.read_bytes() for path in run.glob("*.pth")}
    assert torture.damages(run) == [] and not list(run.rglob(".*"))
    train("--ckpt", "two", "--resume", "1", "--num_epoch", "3")
    train("--ckpt", "reference", "--resume", "1", "--num_epoch", "3")
    same(run, whole_run)


def test_overwriting_on_a_full_disk_keeps_the_old_run(train, whole_run, capsys):
    before = {path: path.read_bytes() for path in whole_run.glob("*.p*")}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
    try:
        with pytest.raises(WriteError, match="last.pth: cannot be written"):
            train("--ckpt", "reference", "--overwrite", "1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert before == {path: path.read_bytes() for path in whole_run.glob("*.p*")}


def test_the_log_of_an_evaluation_on_a_full_disk(train, whole_run):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(
            WriteError, match=r"eval/events.out.tfevents.*: cannot be written \(File too large\)"
        ) as error:
            train("--ckpt", "reference", "--mode", "eval", "--id", whole_run.name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value) and torture.damages(whole_run) == []


def test_a_log_on_a_full_disk():
    command = "import sys; from utils.errors import run_command; run_command(lambda: print('x' * 9999, flush=True))"
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-c", command], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert result.returncode == 2
    assert result.stderr == "error: standard output: cannot be written (No space left on device)\n"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder(train, whole_run):
    whole_run.chmod(0o555)
    try:
        with pytest.raises(WriteError, match="cannot be written"):
            train("--ckpt", "reference", "--resume", "1", "--num_epoch", "3")
    finally:
        whole_run.chmod(0o755)
    assert torture.damages(whole_run) == []
