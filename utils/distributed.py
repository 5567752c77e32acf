"""Several processes that work as one, by PyTorch's distributed package; a single process needs none of it.

Small numbers and results are exchanged through gloo, in main memory; gradients on GPUs go through NCCL.
"""

from __future__ import annotations

import functools
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from utils.errors import InputError
from utils.sync_batch_norm import SyncBatchNorm

PATIENCE = timedelta(hours=2)  # how long processes wait for the first one, which writes the results
STORE = "SEPARATION_STORE"  # names the file where processes that `utils.launch` started meet
LAUNCHER = "SEPARATION_LAUNCHER"  # the number of the process that started them
SECONDS_BETWEEN_LOOKS = 1.0  # whether it is still there
SAID_BY_EITHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
SAID_BY_TORCHRUN = ("MASTER_ADDR", "MASTER_PORT")


class LostProcessError(InputError):
    """Another process of the run ended. It says why itself."""


def _end_with_launcher() -> None:
    """Stops this process as SIGTERM does, after saving, when the process that started it has been killed."""

    def wait() -> None:
        while os.getppid() == int(os.environ[LAUNCHER]):
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os.kill(os.getpid(), signal.SIGTERM)

    if LAUNCHER in os.environ:
        threading.Thread(target=wait, daemon=True).start()


def is_launched() -> bool:
    """Whether this is one of the processes that torchrun, or `utils.launch`, started."""
    places = STORE in os.environ or all(name in os.environ for name in SAID_BY_TORCHRUN)
    return places and all(name in os.environ for name in SAID_BY_EITHER)


def rank() -> int:
    """The number of this process among those that have joined, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes have joined."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this is the first process, which alone writes files and prints; known before the processes join."""
    return not is_launched() or os.environ["RANK"] == "0"


def is_restart() -> bool:
    """Whether torchrun has started the processes again, because one of them died."""
    return is_launched() and int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def main_only(function: Callable) -> Callable:
    """A function that only the first process runs; in the others it returns None."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named) if is_main() else None

    return wrapped


@contextmanager
def joined(device_name: str) -> Iterator[None]:
    """While entered, the processes that were launched together can exchange numbers and gradients.

    After an error the process group is left as it is: the other processes may be in the middle of an exchange, and the
    launcher ends them.

    Raises:
        InputError: the machine has no GPU for this process; or `LostProcessError`.
    """
    if not is_launched():
        yield
        return
    backend = "gloo"
    if device_name == "cuda":
        place = int(os.environ["LOCAL_RANK"])
        if place >= torch.cuda.device_count():
            raise InputError(f"process {place} finds no GPU: this machine has {torch.cuda.device_count()}")
        torch.cuda.set_device(place)
        backend = "cpu:gloo,cuda:nccl"
    number, processes = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]:
        _stay_on_this_machine()
    try:
        with _ended_by_signals():
            if STORE in os.environ:
                _end_with_launcher()
                store = dist.FileStore(os.environ[STORE], processes)
            else:
                store, number, processes = next(dist.rendezvous("env://", timeout=PATIENCE))
                store = dist.PrefixStore(_meet(store, number, processes), store)
            dist.init_process_group(backend, store=store, rank=number, world_size=processes, timeout=PATIENCE)
        yield
    except RuntimeError as error:
        if not _tells_of_a_lost_process(error):
            raise
        reason = str(error).splitlines()[0]
        raise LostProcessError(f"another process of this run ended, or cannot be reached ({reason})") from error
    dist.destroy_process_group()


def _stay_on_this_machine() -> None:
    """Makes gloo and NCCL listen on the loopback interface only, unless the user chose an interface."""
    names = {name for _, name in socket.if_nameindex()}
    inward = next((name for name in ("lo", "lo0") if name in names), None)  # on Linux, on macOS
    if inward:
        for backend in ("GLOO", "NCCL"):
            os.environ.setdefault(f"{backend}_SOCKET_IFNAME", inward)


def run_to_end(command: Callable[[], None]) -> None:
    """Runs the process's work. One of several processes then ends at once, without Python's teardown.

    During the teardown a thread of gloo may release a tensor, for which it takes Python's lock, and that aborts the
    process (PyTorch 2.13). Destroying the process group does not end these threads while a replica of the model holds
    it.

    Args:
        command: returns, or ends in `SystemExit` with a number, as `run_command` does. For any other error the
            traceback is printed and the exit code is 1.
    """
    if not is_launched():
        command()
        return
    code = 0
    try:
        command()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGINT and SIGTERM end the process at once, even while it waits for others in code where Python handles no
    signals.
    """
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)}
    if hasattr(signal, "pthread_sigmask"):  # `utils.launch` has SIGINT wait for this
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _meet(store: dist.Store, number: int, processes: int) -> str:
    """A name on which all processes of this attempt agree. torchrun keeps its store, with what dead processes left in
    it.

    Every process asks with a word that nobody has used before. The first process answers that word with the name, and
    the asking process confirms that it has it.
    """
    own = os.urandom(8).hex()
    if number:
        store.set(f"ask {number}", own)
        while True:
            answer = _look_up(store, f"answer {number}")
            if answer.startswith(own):
                store.set(f"heard {number}", answer)
                return answer.removeprefix(own)
            time.sleep(0.02)
    missing = set(range(1, processes))
    while missing:
        for other in sorted(missing):
            answer = _look_up(store, f"ask {other}") + own
            store.set(f"answer {other}", answer)
            if len(answer) > len(own) and _look_up(store, f"heard {other}") == answer:
                missing.remove(other)
        time.sleep(0.02)
    return own


def _look_up(store: dist.Store, key: str) -> str:
    return store.get(key).decode() if store.check([key]) else ""


def _tells_of_a_lost_process(error: RuntimeError) -> bool:
    words = ("closed by peer", "reset by peer", "Broken pipe", "Connection refused", "remote process exited")
    return any(part in str(error) for part in words)


def replicate(model: nn.Module) -> nn.Module:
    """The model as it is trained: with several processes, its gradients are the mean over all of them."""
    if world_size() == 1:
        return model
    return DistributedDataParallel(model, gradient_as_bucket_view=True)


def synchronise_batch_norm(model: nn.Module, device: torch.device) -> nn.Module:
    """Makes every batch norm take mean and variance over the batches of all processes."""
    if world_size() == 1:
        return model
    kind = nn.SyncBatchNorm if device.type == "cuda" else SyncBatchNorm  # PyTorch's is for GPUs alone
    return kind.convert_sync_batchnorm(model)


@torch.no_grad()
def share_buffers(model: nn.Module) -> None:
    """Gives every process the buffers of the first one, because each process has running means of its own."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def total(value: float) -> float:
    """The sum of a number over all processes."""
    return value if world_size() == 1 else _reduced([value], dist.ReduceOp.SUM)[0]


def largest(*values: int) -> list[int]:
    """The largest value of each of the numbers over all processes."""
    return list(values) if world_size() == 1 else [int(value) for value in _reduced(values, dist.ReduceOp.MAX)]


def _reduced(values: list[float] | tuple[int, ...], operation: dist.ReduceOp) -> list[float]:
    numbers = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(numbers, operation)
    return numbers.tolist()


def everyones(value: Any) -> list[Any]:
    """Every process's value, in the order of their numbers."""
    if world_size() == 1:
        return [value]
    values = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def gathered(value: Any) -> list[Any]:
    """Every process's value, in the first process; an empty list in the others."""
    if world_size() == 1:
        return [value]
    values = [None] * world_size() if is_main() else None
    dist.gather_object(value, values)
    return values or []


def from_main(value: Any) -> Any:
    """The first process's value, in every process."""
    if world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def wait_for_all() -> None:
    """Returns when every process has reached this call."""
    if world_size() > 1:
        dist.barrier()
