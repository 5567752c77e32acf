"""What killed processes leave behind: recognised because nobody holds its lock any more, and removed by the next
process.

Temporary files and folders are locked while they are written. Where there are no locks (Windows, some network file
systems) nothing counts as left behind, so that work in progress is never removed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:
    fcntl = None

SCRATCH = "point-cloud-separation-"  # begins the names of our folders in that of temporary files


@contextmanager
def making(draw: Callable[[], Path], is_folder: bool = False, mode: int = 0o777) -> Iterator[Path]:
    """Makes an empty file or folder under a name that `draw` returns, and holds its lock; it is not removed at the end.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        path = draw()
        if is_folder:
            path.mkdir(mode, parents=True)
        if fcntl is None:
            yield path
            return
        try:
            number = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileNotFoundError:
            if is_folder:  # somebody has taken it for left behind before it was opened
                continue
            raise
        if _lock(number, path):
            break
        os.close(number)  # the same, before it was locked
    try:
        yield path
    finally:
        os.close(number)


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Holds the lock of an existing file or folder, even while it is moved; raises FileNotFoundError."""
    if fcntl is None:
        yield
        return
    while True:
        number = os.open(path, os.O_RDONLY)
        if _lock(number, path):
            break
        os.close(number)
    try:
        yield
    finally:
        os.close(number)


def _lock(number: int, path: Path) -> bool:
    """Waits for the lock of an open file; False if by then something else, or nothing, is at its path."""
    with suppress(OSError):  # a file system without locks
        fcntl.flock(number, fcntl.LOCK_EX)
    try:
        return os.path.samestat(os.fstat(number), os.stat(path))
    except FileNotFoundError:
        return False


@contextmanager
def if_left_behind(path: Path) -> Iterator[bool]:
    """Yields whether nobody is writing a temporary file or folder any more; if so, nobody can start to until
    the end.
    """
    number = None
    is_left = False
    if fcntl is not None:
        with suppress(OSError):
            number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_left = True
    try:
        yield is_left
    finally:
        if number is not None:
            os.close(number)


def remove_left_behind(paths: Iterable[Path]) -> None:
    """Removes those of the temporary files and folders that nobody is writing any more."""
    for path in list(paths):
        with if_left_behind(path) as is_left, suppress(OSError):
            if is_left:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """A temporary folder that only this user can open.

    It is removed at the end or, if the process is killed, by the next call for the same purpose.
    """
    place, begin = Path(tempfile.gettempdir()), f"{SCRATCH}{purpose}-"
    remove_left_behind(path for path in place.glob(f"{begin}*") if os.access(path, os.W_OK))
    with making(lambda: place / f"{begin}{secrets.token_hex(8)}", is_folder=True, mode=0o700) as folder:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
