"""Workers of a pool end with the process that started them."""

from __future__ import annotations

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
