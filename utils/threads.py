"""How PyTorch's threads share a machine with other work; to be set before PyTorch is imported."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

from utils.parallel import usable_cores

CHOSEN = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")  # variables that a user may have set
SPINS, SPINS_BESIDE_OTHERS = 2_000, 500  # before a waiting thread sleeps; GCC's OpenMP, PyTorch's, has 300,000
LOOK_S = 0.1  # how long others are watched
STAT = Path("/proc/stat")  # proc(5)
THREADS = "OMP_NUM_THREADS"
set_here: set[str] = set()  # variables that hold what `share_cores` chose, and not the user


def share_cores() -> None:
    """Sets how OpenMP's threads wait, and how many there are, where the user has set neither.

    A thread that waits in a loop is there at once when it is needed, but keeps its core from others. One that sleeps at
    once has to be woken, thousands of times in an iteration. So threads wait for a while where the cores are free, and
    hardly where others are at work. `scripts/benchmark.py busy` shows what this costs and saves. Where a container
    allows fewer cores than the machine has, PyTorch gets only as many threads.
    """
    if not any(name in os.environ for name in CHOSEN):
        shared = idle_cores() < usable_cores() - 0.5
        os.environ["GOMP_SPINCOUNT"] = str(SPINS_BESIDE_OTHERS if shared else SPINS)
    if usable_cores() < (os.cpu_count() or 1) and THREADS not in os.environ:
        os.environ[THREADS] = str(usable_cores())
        set_here.add(THREADS)


def environment_of_each(processes: int, threads: int) -> dict[str, str]:
    """The environment for each of several processes that share `threads`; what the user has set stays."""
    shared = {} if THREADS in os.environ and THREADS not in set_here else {THREADS: str(max(1, threads // processes))}
    return {**os.environ, **shared}


def idle_cores(seconds: float = LOOK_S) -> float:
    """How many of the cores that this process may run on have nothing to do, watched for so long.

    Infinite where the system does not tell, as it does on Linux.
    """
    try:
        before, start = _idle_s(), time.monotonic()
        time.sleep(seconds)
        return (_idle_s() - before) / (time.monotonic() - start)
    except (OSError, ValueError, AttributeError):
        return math.inf


def _idle_s() -> float:
    """Seconds that the cores have been idle since the machine started, all together."""
    cores = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    fields = (line.split() for line in STAT.read_text().splitlines() if line.startswith("cpu"))
    ticks = sum(int(idle) + int(waiting) for name, _, _, _, idle, waiting, *_ in fields if name in cores)
    return ticks / os.sysconf("SC_CLK_TCK")
