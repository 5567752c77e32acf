"""Several processes on the CPU end together: of bad input, of a signal, of the death of one of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from processes import LABEL, SMALL, children_of, iterations_saved, main, run_of, wait_for
from test_main import fails_in_one_line

from dataset.index import write_index
from utils.distributed import STORE

LONG = [*LABEL, "--dup_trainset", "4", "--num_epoch", "3", "--num_val", "2", "--batch_size_per_gpu", "2"]


@pytest.fixture
def start(tree):
    """Starts a script; what a test does not see end is ended after it."""
    started = []

    def start_one(*arguments):
        command = [sys.executable, *map(str, arguments)]
        started.append(subprocess.Popen(command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start_one
    for process in started:
        if process.poll() is None:
            for pid in (*children_of(process).values(), process.pid):
                os.kill(pid, signal.SIGKILL)


def test_no_gpus(tree):
    fails_in_one_line(main(tree, "--num_gpus", "2", "--device", "auto"), "--num_gpus 2", "--device cpu")


def test_too_few_mixtures(tree):
    """Every process finds that out; the first one says it."""
    result = main(tree, *LABEL, "--num_gpus", "2", "--batch_size_per_gpu", "8")
    fails_in_one_line(result, "12 training samples are too few for a batch of 8 in each of 2 processes")


def test_an_unreadable_file_of_one_process(tree, rows):
    """The run ends with that process's line; with --skip_bad_samples all skip the same batch and continue."""
    broken = tree / "broken.wav"
    broken.write_text("no sound")
    write_index(tree / "broken.csv", [*rows[:-1], type(rows[0])(str(broken), rows[-1].frames_path, 4, "")])
    options = [*LABEL, "--list_train", "broken.csv", "--num_gpus", "2", "--batch_size_per_gpu", "2", "--num_epoch", "1"]
    options += ["--num_val", "2"]
    result = main(tree, *options, "--ckpt", "strict")
    assert result.returncode == 2 and result.stderr.count("error: ") == 1, result.stderr
    assert str(broken) in result.stderr and "broken.csv" in result.stderr
    result = main(tree, *options, "--ckpt", "lenient", "--skip_bad_samples", "1")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(f"skipped: {broken}") == 1
    assert list(json.loads((run_of(tree, "lenient") / "skipped.json").read_text())) == [str(broken)]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")
def test_a_killed_process_ends_the_run(start, tree):
    run = start(ROOT / "main.py", *SMALL, *LONG, "--num_epoch", "500", "--num_gpus", "2", "--ckpt", "killed")
    wait_for(lambda: iterations_saved(tree, "killed") > (1, 0))
    os.kill(children_of(run)[1], signal.SIGKILL)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 128 + signal.SIGKILL
    assert "error: process 1 was ended by signal 9" in said and "Traceback" not in said


def listening(pid):
    """The addresses, as /proc has them, at which a process listens for connections."""
    links = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()]
    sockets = {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    return [line[1].split(":")[0] for line in lines if line[3] == "0A" and line[9] in sockets]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")
def test_nobody_else_can_talk_to_the_processes(start, tree):
    """They listen at the loopback address alone, and meet in a file that only the user can open."""
    run = start(ROOT / "main.py", *SMALL, *LONG, "--num_epoch", "500", "--num_gpus", "2", "--ckpt", "quiet")
    wait_for(lambda: iterations_saved(tree, "quiet") > (1, 0))
    children = children_of(run)
    heard = [address for pid in (run.pid, *children.values()) for address in listening(pid)]
    assert heard and set(heard) <= {"0100007F", "00000000000000000000000001000000"}
    environment = Path(f"/proc/{children[0]}/environ").read_bytes().decode().split("\0")
    store = next(Path(line.split("=")[1]) for line in environment if line.startswith(STORE))
    assert store.exists() and store.parent.stat().st_mode & 0o777 == 0o700
    run.terminate()
    run.communicate(timeout=120)
    assert run.returncode == 128 + signal.SIGTERM and not store.parent.exists()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")
def test_torchrun_starts_again_from_the_last_checkpoint(start, tree):
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--max_restarts", "1"]
    run = start(*torchrun, ROOT / "main.py", *SMALL, *LONG, "--ckpt", "killed")
    wait_for(lambda: iterations_saved(tree, "killed") > (1, 0))
    os.kill(children_of(run)[1], signal.SIGKILL)
    said, errors = run.communicate(timeout=240)
    assert run.returncode == 0, errors
    assert said.count("a new run begins") == 1 and said.count("resumes epoch") == 1
    assert main(tree, *LONG, "--num_gpus", "2", "--ckpt", "alone").returncode == 0
    histories = [
        torch.load(next((tree / ckpt).glob("*/history_latest.pth")), weights_only=True) for ckpt in ("killed", "alone")
    ]
    killed, alone = ([row["loss"] for row in history["train"]] for history in histories)
    assert killed == pytest.approx(alone, abs=1e-6)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")
def test_two_nodes_of_which_one_loses_its_process(start, tree):
    """Each has a launcher of its own; both start again, the one that lost nothing too, and resume together."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    torchrun = ["-m", "torch.distributed.run", "--nnodes", "2", "--nproc_per_node", "1", "--rdzv_id", "nodes"]
    torchrun += ["--rdzv_backend", "c10d", "--rdzv_endpoint", address, "--local_addr", "localhost"]
    torchrun += ["--max_restarts", "2"]
    nodes = [start(*torchrun, ROOT / "main.py", *SMALL, *LONG, "--ckpt", "nodes") for _ in range(2)]
    wait_for(lambda: iterations_saved(tree, "nodes") > (1, 0))
    os.kill(next(pid for node in nodes for number, pid in children_of(node).items() if number == 1), signal.SIGKILL)
    found = [(*node.communicate(timeout=240), node.returncode) for node in nodes]
    assert [code for *_, code in found] == [0, 0], found
    said = "".join(said for said, *_ in found)
    assert said.count("a new run begins") == 1 and said.count("resumes epoch") == 1
    assert iterations_saved(tree, "nodes") == (4, 0)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")
def test_a_signal_stops_all_and_the_run_goes_on(start, tree):
    """Given to the launcher, or to one of the processes alone."""
    options = [*LONG, "--num_epoch", "500", "--num_gpus", "2", "--ckpt", "stopped", "--resume", "1"]
    for number, ends in ((None, signal.SIGTERM), (1, signal.SIGINT), (0, signal.SIGTERM)):
        run = start(ROOT / "main.py", *SMALL, *options)
        before = iterations_saved(tree, "stopped")
        wait_for(lambda before=before: iterations_saved(tree, "stopped") > max(before, (1, 0)))
        os.kill(run.pid if number is None else children_of(run)[number], ends)
        said, errors = run.communicate(timeout=120)
        assert run.returncode == 128 + ends, errors
        assert said.count("saved in epoch") == 1 and "Traceback" not in errors
        assert "error" not in errors.lower()


CHILD = """
import time
from utils.distributed import _end_with_launcher
_end_with_launcher()
print("up", flush=True)
time.sleep(60)
"""
LAUNCHER_CODE = """
import os, subprocess, sys
from utils.distributed import LAUNCHER
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], env={**os.environ, LAUNCHER: str(os.getpid())})
child.wait()
"""


def test_processes_stop_when_their_launcher_is_killed():
    """They hold the pipe of its output, which closes when the last of them is gone."""
    command = [sys.executable, "-c", LAUNCHER_CODE, CHILD]
    launcher = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert launcher.stdout.readline() == "up\n"
    launcher.kill()
    launcher.communicate(timeout=30)
