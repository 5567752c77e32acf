"""SIGINT and SIGTERM stop a run at a good place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import torture
from conftest import ROOT
from tiny_runs import run_of, same

from utils.signals import Stopped, StopSignals

LAUNCH = """
import sys
sys.path[:0] = {paths!r}
import models
from tiny_runs import SmallVision
models.VISION_NETS["sparseresnet18"] = SmallVision
import runs.state
runs.state.plot_history = lambda run, history: None
import main
main.write_run_page = lambda run: None
from utils.errors import run_command
run_command(main.main)
"""


@pytest.fixture
def launch(tiny_options, tmp_path):
    """Starts main.py with the small vision net as a process of a group of its own."""
    (tmp_path / "launch.py").write_text(LAUNCH.format(paths=[str(ROOT / place) for place in ("", "scripts", "tests")]))

    def start(*arguments):
        command = [sys.executable, "launch.py", *tiny_options, "--disp_iter", "1", *arguments]
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return subprocess.Popen(command, cwd=tmp_path, process_group=0, **pipes)

    return start


def until(process, text):
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"ended without {text!r}: {process.stderr.read()}")


def test_signals_to_the_whole_group(launch, whole_run, tmp_path):
    """As from a terminal: the loader's workers get them, too. Then a resumed run dies of SIGKILL."""
    process = launch("--ckpt", "signals", "--workers", "1")
    until(process, "epoch 1/2 [1/3]")
    os.killpg(process.pid, signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert errors == "SIGTERM: stopping after this iteration; a second signal ends it at once\n"
    assert "the same command with --resume 1 resumes it" in output
    process = launch("--ckpt", "signals", "--resume", "1")
    until(process, "resumes epoch 1 after")
    process.kill()
    process.communicate()
    assert torture.damages(tmp_path / "signals") == []
    process = launch("--ckpt", "signals", "--resume", "1")
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 0, errors
    same(run_of(tmp_path / "signals"), whole_run)


def test_a_second_signal_ends_at_once(tmp_path):
    code = (
        "import time; from utils.signals import StopSignals\n"
        "with StopSignals() as stop: print('ready', flush=True); time.sleep(60); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert "SIGINT: stopping" in process.stderr.readline()
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    process.communicate()


def test_the_handlers_that_were_there_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals() as stop:
        stop.check()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        with pytest.raises(Stopped, match="SIGTERM") as stopped:
            stop.check()
        assert stopped.value.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("script", ["main.py", "scripts/check_data.py", "scripts/separate.py", "scripts/report.py"])
@pytest.mark.parametrize("seconds", [0.2, 0.8])
def test_ctrl_c_while_libraries_load(script, seconds, tmp_path):
    """No traceback of whatever was being imported."""
    command = [sys.executable, str(ROOT / script), "--seed", "0"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (-signal.SIGINT, 130, 2) and errors.count("\n") <= 1 and "Traceback" not in errors
