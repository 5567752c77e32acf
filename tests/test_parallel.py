"""Workers of a pool end with the process that started them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import ROOT

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
