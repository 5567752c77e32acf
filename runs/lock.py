"""Only one process at a time works in a run's folder: a lock, which is released however the process ends."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from utils.errors import InputError, WriteError
from utils.files import make_folder

try:
    import fcntl
except ImportError:  # not on Windows: there two processes in one folder are left to the user
    fcntl = None

LOCK = ".lock"


@contextmanager
def locked(folder: Path, another: str = "--id", doing: str = "is training or evaluating") -> Iterator[None]:
    """Holds the lock of `folder`, which is created if missing, and removed again if still empty.

    another: the option that chooses the folder. doing: what the process that holds the lock is doing.

    Raises:
        InputError: another process holds the lock.
        WriteError: the folder cannot be written.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        file = _opened(folder / LOCK, another, doing)
    except OSError as error:
        raise WriteError(f"{folder}: cannot be written ({error.strerror})") from error
    with file:
        try:
            yield
        finally:
            with suppress(OSError):
                (folder / LOCK).unlink()
            for place in missing:
                with suppress(OSError):
                    place.rmdir()


def _opened(path: Path, another: str, doing: str) -> BinaryIO:
    """The lock file, locked; made again whenever a process that ends removes it meanwhile."""
    while True:
        make_folder(path.parent)
        try:
            file = open(path, "a+b", buffering=0)  # noqa: SIM115  (open as long as the lock is held)
        except FileNotFoundError:
            continue
        try:
            _lock(file, path.parent, another, doing)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                with suppress(OSError):  # the disk is full: the number is for messages only
                    file.truncate(0)
                    file.write(str(os.getpid()).encode())
                return file
        except FileNotFoundError:
            pass
        except InputError:
            file.close()
            raise
        file.close()


def _lock(file: BinaryIO, folder: Path, another: str, doing: str) -> None:
    """A POSIX record lock, not flock: a loader's workers, which may outlive a killed process, do not inherit it."""
    if fcntl is None:
        return
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            return  # a file system without locks
        file.seek(0)
        raise InputError(
            f"{folder}: process {file.read().decode() or '(unknown)'} {doing} there; wait for it, "
            f"or choose another {another}"
        ) from error
