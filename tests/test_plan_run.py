"""Plans of large trainings, calculated by hand; and the script that starts them on a Slurm cluster, on a stage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import plan_run
import pytest
from conftest import ROOT
from processes import LABEL, SMALL, iterations_saved, wait_for
from test_main import fails_in_one_line, python

from utils.errors import InputError

STAGES = {
    "waiting for data": (0.5, 0.0),
    "transfer": (0.01, 0.0),
    "spectrogram": (0.3, 0.0),
    "vision": (0.2, 0.2),
    "sound": (1.0, 2.0),
    "fusion": (0.1, 0.1),
    "loss": (0.05, 0.05),
    "optimiser": (0.09, 0.0),
}
STEP = {
    "batch_size": 8, "num_mix": 2, "num_frames": 1, "voxels": 4000, "audLen": 65536, "audRate": 16384,
    "parameters": 25_000_000, "sample_cpu_s": 0.05,
    "stages_s": {name: {"forward": there, "backward": back} for name, (there, back) in STAGES.items()},
}  # fmt: skip


@pytest.fixture
def step(tmp_path):
    path = tmp_path / "step.json"
    path.write_text(json.dumps(STEP))
    return path


def planned(monkeypatch, step, devices, *arguments):
    monkeypatch.setattr(sys, "argv", ["plan_run.py", "--step", str(step), *map(str, arguments)])
    options = plan_run.parse_arguments()
    measured = plan_run.read_measured(options.step)
    options.voxels = options.voxels or measured.voxels
    return plan_run.plan(measured, options, devices), plan_run.storage(measured, options)


def test_as_measured(monkeypatch, step):
    """One device with the batch that was measured: the sum of its stages but the waiting."""
    one, _ = planned(monkeypatch, step, 1, "--batch_size_per_gpu", 8, "--hours", 4)
    assert one.step == pytest.approx(4.1) and one.exchange == 0
    assert one.steps_of_pass == pytest.approx(4 * 3600 / 4 / 16)  # windows of 4 s, 8 mixtures of 2
    assert one.pass_hours == pytest.approx(225 * 4.1 / 3600)
    assert one.workers == pytest.approx(8 * 0.05 / 4.1)


def test_how_it_scales(monkeypatch, step):
    small = ("--batch_size_per_gpu", 8)
    assert planned(monkeypatch, step, 1, "--batch_size_per_gpu", 16)[0].step == pytest.approx(8.11)
    assert planned(monkeypatch, step, 1, *small, "--voxels", 8000)[0].step == pytest.approx(4.1 + 0.4)
    assert planned(monkeypatch, step, 1, *small, "--num_frames", 3)[0].step == pytest.approx(4.1 + 0.8)
    three = planned(monkeypatch, step, 1, *small, "--num_mix", 3)[0]
    assert three.step == pytest.approx(4.1 + 0.2 + 0.15 + 0.1)
    eight, one = (planned(monkeypatch, step, n, *small)[0] for n in (8, 1))
    assert eight.exchange == pytest.approx(2 * 7 / 8 * 1e8 / 12.5e9)
    assert eight.step == one.step and eight.pass_hours == pytest.approx(one.pass_hours / 8)
    slow = planned(monkeypatch, step, 8, *small, "--link", 0.01)[0]
    assert slow.step == pytest.approx(4.1 + 17.5 - 2.35)  # backward hides a part of the exchange


def test_storage(monkeypatch, step):
    _, sizes = planned(monkeypatch, step, 1, "--hours", 1000, "--performers", 10_000, "--frames", 100)
    assert sizes["recordings"] == 1000 * 3600 * 16384 * 4 and sizes["clouds"] == 10_000 * 100 * 200_000
    assert sizes["run"] == 4e8


@pytest.mark.parametrize("value", [None, "x", 0, -1, float("nan"), float("inf"), [], {}])
@pytest.mark.parametrize("name", ["batch_size", "num_mix", "voxels", "audLen", "audRate", "stages_s"])
def test_figures_of_other_types(tmp_path, name, value):
    (tmp_path / "a.json").write_text(json.dumps({**STEP, name: value}))
    with pytest.raises(InputError, match="not what benchmark.py step --json writes") as error:
        plan_run.read_measured(tmp_path / "a.json")
    assert "\n" not in str(error.value)


def test_the_command(step, tmp_path):
    result = python(tmp_path, ROOT / "scripts" / "plan_run.py", "--step", step, "--num_gpus", 1, 8)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[4].split()[0] == "1" and lines[5].split()[0] == "8" and "GB of recordings" in lines[-1]
    step.write_text('{"stages_s": {}}')
    fails_in_one_line(python(tmp_path, ROOT / "scripts" / "plan_run.py", "--step", step), "step.json")


# As on a cluster: srun does not forward SIGTERM to tasks, it kills them; scancel signals all that a step has started.
SRUN = """#!/bin/sh
while [ "${1#--}" != "$1" ]; do shift; done
setsid "$@" &
echo $! >step
trap 'kill -KILL -$(cat step); exit 137' TERM
wait $!
"""
SCANCEL = """#!/bin/sh
echo "$@" >>cancelled
exec kill -TERM -- -$(cat step)
"""
SCONTROL = """#!/bin/sh
[ "$1" = show ] && echo localhost || echo "$@" >>requeued
"""


@pytest.fixture
def slurm(tree, monkeypatch):
    """A job of one node with two processes, on this machine; `srun` and `scontrol` do what they do there."""
    python = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    commands = {"bin/srun": SRUN, "bin/scancel": SCANCEL, "bin/scontrol": SCONTROL, ".venv/bin/python": python}
    for place, text in commands.items():
        path = tree / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tree / 'bin'}{os.pathsep}{os.environ['PATH']}")
    (tree / "scripts").symlink_to(ROOT / "scripts")
    for name, value in {
        "SLURM_JOB_ID": os.getpid(),
        "SLURM_SUBMIT_DIR": tree,
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_JOB_NUM_NODES": 1,
        "SLURM_GPUS_ON_NODE": 2,
    }.items():
        monkeypatch.setenv(name, str(value))
    options = [*SMALL, *LABEL, "--num_val", "2", "--batch_size_per_gpu", "2", "--ckpt", "ckpt", "--dup_trainset", "4"]

    def submit(*arguments):
        command = ["bash", ROOT / "scripts" / "slurm_train.sh", *options, *arguments]
        return subprocess.Popen(command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return submit


def test_a_job_that_is_preempted_goes_on(slurm, tree):
    job = slurm("--num_epoch", "300", "--eval_epoch", "300")
    wait_for(lambda: iterations_saved(tree, "ckpt") > (1, 0))
    job.send_signal(signal.SIGTERM)  # to the batch script, before the time limit
    said, errors = job.communicate(timeout=120)
    assert job.returncode == 0, errors
    assert "saved in epoch" in said and "goes back into the queue" in said
    assert (tree / "requeued").read_text() == f"requeue {os.getpid()}\n"
    before = iterations_saved(tree, "ckpt")
    again = slurm("--num_epoch", "300", "--eval_epoch", "300")
    wait_for(lambda: iterations_saved(tree, "ckpt") > before)
    os.killpg(int((tree / "step").read_text()), signal.SIGTERM)  # to the nodes alone, by a preemption
    said, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert (tree / "cancelled").read_text().count("\n") == 1 and (tree / "requeued").read_text().count("\n") == 2
    assert f"resumes epoch {before[0]} after {before[1]} of its iterations" in said


def test_a_job_that_ends(slurm, tree):
    job = slurm("--num_epoch", "1")
    said, errors = job.communicate(timeout=120)
    assert job.returncode == 0, errors
    assert "2 processes on cpu" in said and iterations_saved(tree, "ckpt") == (2, 0)
    assert not (tree / "requeued").exists()
