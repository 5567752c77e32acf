"""Threads of PyTorch get their settings before it is imported, and what a user has set stays."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from benchmarks.busy import worker_of
from conftest import ROOT

from utils import threads
from utils.threads import SPINS, SPINS_BESIDE_OTHERS, environment_of_each, idle_cores, share_cores

COMMANDS = ["main.py", *sorted(f"scripts/{path.name}" for path in (ROOT / "scripts").glob("*.py"))]
WATCH = """
import os, runpy, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("torch with", os.environ.get("GOMP_SPINCOUNT"), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Watch())
sys.argv = [sys.argv[1], "--help"]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def unset(monkeypatch):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_set_them_first(command, unset):
    done = subprocess.run([sys.executable, "-c", WATCH, ROOT / command], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    if "torch with" in done.stdout:  # and not the help of a command that works without
        assert done.stdout in (f"torch with {SPINS}\n", f"torch with {SPINS_BESIDE_OTHERS}\n")
    else:
        assert "usage: " in done.stdout


@pytest.mark.parametrize("setting", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}])
def test_what_a_user_has_set_stays(setting, unset, monkeypatch):
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    share_cores()
    assert dict(os.environ) == before


def test_as_many_threads_as_a_container_allows(unset, monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: 3)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(threads, "idle_cores", lambda: 2.9)
    monkeypatch.setattr(threads, "set_here", set())
    share_cores()
    assert (os.environ["OMP_NUM_THREADS"], os.environ["GOMP_SPINCOUNT"]) == ("3", str(SPINS))
    assert environment_of_each(2, threads=3)["OMP_NUM_THREADS"] == "1"  # which share them


def test_a_users_number_of_threads_stays(unset, monkeypatch):
    assert environment_of_each(2, threads=8)["OMP_NUM_THREADS"] == "4"
    monkeypatch.setattr(threads, "usable_cores", lambda: 3)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(threads, "set_here", set())
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    share_cores()
    assert os.environ["OMP_NUM_THREADS"] == environment_of_each(2, threads=2)["OMP_NUM_THREADS"] == "2"


@pytest.mark.parametrize(
    "idle, spins", [(2.0, SPINS), (1.6, SPINS), (1.4, SPINS_BESIDE_OTHERS), (0, SPINS_BESIDE_OTHERS)]
)
def test_threads_hardly_wait_where_others_are_at_work(idle, spins, unset, monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: 2)
    monkeypatch.setattr(threads, "idle_cores", lambda: idle)
    share_cores()
    assert os.environ["GOMP_SPINCOUNT"] == str(spins)


def test_idle_cores_are_those_this_process_may_use(tmp_path, monkeypatch):
    """In a tenth of a second core 0 is idle for half of it, core 1 for all of it; core 2 is not for us."""
    ticks = os.sysconf("SC_CLK_TCK")
    half, whole = round(0.05 * ticks), round(0.1 * ticks)
    reads = [
        f"cpu 9 9 9 9 9\ncpu0 5 0 0 {n * half} 0 0\ncpu1 5 0 0 3 {n * whole} 0\ncpu2 0 0 0 {99 * n} 0" for n in (0, 1)
    ]
    monkeypatch.setattr(threads, "STAT", type("File", (), {"read_text": lambda: reads.pop(0)}))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert idle_cores(0.1) == pytest.approx(1.5, rel=0.2)
    monkeypatch.setattr(threads, "STAT", tmp_path / "no such file")
    assert idle_cores(0) == float("inf")


def test_the_benchmark_works_beside_another_process(unset):
    with worker_of("pretraining", None) as one, worker_of("pretraining", {"OMP_WAIT_POLICY": "PASSIVE"}) as other:
        for worker in (one, other):
            worker.begin(iterations=2)
        assert one.median_s() > 0 and other.median_s() > 0
