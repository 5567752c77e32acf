"""Errors that a user can correct are reported in one line; all others are bugs and keep their traceback."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable

from utils.quiet import open_standard_streams

# What is wrong with a path that was given, wherever it is noticed.
PATH_FAULTS = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS)
CLOSED_PIPE = 128 + 13  # exit code, as of a command that SIGPIPE ends
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class InputError(ValueError):
    """Bad input or options. The message is one line that names the file or option and says what to do."""


class WriteError(InputError):
    """A file that cannot be written: the disk is full, or we may not write to the folder."""


class UnreadableError(InputError):
    """A file of the data set that cannot be read.

    path: the file. index: the number, within the epoch, of the sample that needs it.
    """

    def __init__(self, message: str, path: str = "", index: int = -1):
        super().__init__(message)
        self.path, self.index = path, index


def run_command(command: Callable[[], int | None]) -> None:
    """Runs a script's main function and exits: with 0, or with 2 after printing the one line of an `InputError`.

    Errors about a path, wherever they come from, are treated as `InputError`. Letters that the terminal's or log's
    encoding cannot show are printed as their codes.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:  # as commands have it while they load libraries
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _prepare_streams()
    try:
        sys.exit(command())
    except InputError as error:
        sys.exit(_complain(error))
    except BrokenPipeError:  # who read our output, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(CLOSED_PIPE)
    except OSError as error:
        told = user_error(error)
        if told is None:
            raise
        if error.errno in NO_ROOM and error.filename is None:
            # The log itself: discard the rest, so that flushing it causes no second error.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_complain(told))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def user_error(error: OSError) -> InputError | None:
    """The error in one line if a user can correct it: a path that cannot be, or a disk that is full; else None."""
    if error.errno in PATH_FAULTS and error.filename is not None:
        return InputError(f"{error.filename}: {error.strerror}")
    if error.errno in NO_ROOM:
        return WriteError(f"{error.filename or 'standard output'}: cannot be written ({error.strerror})")
    return None


def _prepare_streams() -> None:
    """Makes sure that the standard streams are open and can print any name."""
    open_standard_streams()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):  # and not a test's
            stream.reconfigure(errors="backslashreplace")


def _complain(error: InputError) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2
