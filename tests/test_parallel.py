"""Workers of a pool end with the process that started them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import ROOT

from utils import parallel

CODE = r"""
from utils.parallel import mapper
if __name__ == "__main__":
    with mapper(2) as mapped:
        list(mapped(exec, ["import os, time; os.write(1, b'up\\n'); time.sleep(60)"] * 32))
"""


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_workers_end_with_their_parent(end):
    """They hold the pipe of its output, which closes when the last of them is gone."""
    parent = subprocess.Popen(
        [sys.executable, "-c", CODE], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert parent.stdout.readline() == parent.stdout.readline() == "up\n"
    getattr(parent, end)()
    parent.communicate(timeout=30)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone binds processes to cores")
def test_usable_cores_are_those_of_the_process():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    code += "from utils.parallel import usable_cores; print(usable_cores())"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert found.stdout == "1\n"


def test_cgroups_limit_the_cores(tmp_path, monkeypatch):
    """Of version 2 and 1: the smallest of a group's own limit and those above it, rounded up."""
    for name, files in {
        "two": {"cpu.max": "150000 100000\n"},
        "free": {"cpu.max": "max 100000\n"},
        "one": {"cpu.cfs_quota_us": "250000\n", "cpu.cfs_period_us": "100000\n"},
        "open": {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"},
        "damaged": {"cpu.max": "x\n"},
    }.items():
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text)
    found = {
        name: list(parallel._limit_in(tmp_path / name)) for name in ("two", "free", "one", "open", "damaged", "no")
    }
    assert found == {"two": [2], "free": [], "one": [3], "open": [], "damaged": [], "no": []}
    monkeypatch.setattr(parallel, "_cgroup_limits", lambda: iter([1, 3]))
    assert parallel.usable_cores() == 1
