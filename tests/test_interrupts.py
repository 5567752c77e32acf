"""Ctrl-C on a terminal, which goes to a command and all its workers, while these start: one line, nobody left."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import InvalidStateError
from pathlib import Path

import pytest
from conftest import ROOT

from dataset.index import write_index
from utils.parallel import interrupts_waiting, mapper

COMMANDS = {
    "build_cache.py": ["--list", "list.csv", "--cache", "interrupted", "--workers", "2"],
    "make_demo_data.py": ["--output", "interrupted", "--workers", "2"],
}


def processes_of(session: int) -> list[int]:
    """Those of a terminal's session that run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, own = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(own) == session and state != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here to see processes by")
@pytest.mark.parametrize("wait_s", [0.0, 0.3])
@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_while_workers_start(data_tree, rows, name, wait_s):
    write_index(data_tree / "list.csv", rows)
    session, terminal = pty.fork()
    if not session:
        os.chdir(data_tree)
        os.execv(sys.executable, [sys.executable, str(ROOT / "scripts" / name), *COMMANDS[name]])
    end = time.monotonic() + 60
    while len(processes_of(session)) < 3 and time.monotonic() < end:  # the command, a helper of Python's, a worker
        time.sleep(0.01)
    time.sleep(wait_s)
    os.write(terminal, b"\x03")
    shown = b""
    try:
        while part := os.read(terminal, 4096):
            shown += part
    except OSError:  # the terminal's other end is closed: all have ended
        pass
    code = os.waitstatus_to_exitcode(os.waitpid(session, 0)[1])
    os.close(terminal)
    lines = [line for line in shown.decode().replace("^C", "").splitlines() if line.strip() and "%" not in line]
    assert code == 130 and lines == ["interrupted"], shown.decode()
    end = time.monotonic() + 10
    while processes_of(session) and time.monotonic() < end:  # Python's helper notices a moment later
        time.sleep(0.01)
    assert not processes_of(session)


def test_an_interrupt_that_waits_is_not_lost():
    before, arrived = signal.signal(signal.SIGINT, signal.default_int_handler), []  # a background process ignores it
    try:
        with pytest.raises(KeyboardInterrupt), interrupts_waiting():
            os.kill(os.getpid(), signal.SIGINT)
            arrived.append(True)
    finally:
        signal.signal(signal.SIGINT, before)
    assert arrived


def test_an_interrupt_waits_in_processes_that_start():
    """Until they know what to do with it; then they end without a word."""
    code = "import os, time; from utils.parallel import start_worker; os.kill(os.getpid(), 2); print(1, flush=True)"
    code += "; start_worker(); time.sleep(60)"
    with interrupts_waiting():
        child = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    assert child.communicate(timeout=60)[0] == "1\n" and child.returncode == -2


def test_cancelled_work_is_no_news(capsys):
    """What CPython's pool says of it is not shown; any other fault of a thread is."""
    for error, shown in ((InvalidStateError("CANCELLED"), False), (ValueError("something"), True)):

        def fail(error=error):
            raise error

        with mapper(2):
            thread = threading.Thread(target=fail)
            thread.start()
            thread.join()
        assert ("Traceback" in capsys.readouterr().err) == shown
