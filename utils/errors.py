"""What a user can mend is told in one line; everything else is a fault of ours and keeps its traceback."""

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
    """A file that cannot be written: the disk is full, or the folder is not ours to write to."""


class UnreadableError(InputError):
    """A file of the data set that cannot be read.

    path: the file. index: the number in the epoch of the sample that needs it.
    """

    def __init__(self, message: str, path: str = "", index: int = -1):
        super().__init__(message)
        self.path, self.index = path, index


def run_command(command: Callable[[], int | None]) -> None:
    """Runs a script's main function and exits: 0, or 2 after the one line of an `InputError` or of a path's fault.

    Names that the terminal's or log's encoding has no letters for are printed with their codes.
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
        if error.errno in PATH_FAULTS and error.filename is not None:
            sys.exit(_complain(InputError(f"{error.filename}: {error.strerror}")))
        if error.errno not in NO_ROOM:
            raise
        if error.filename is None:  # the log itself: what is left of it goes nowhere, not into a second error
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        place = error.filename or "standard output"
        sys.exit(_complain(WriteError(f"{place}: cannot be written ({error.strerror})")))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _prepare_streams() -> None:
    """Standard streams that are open, and can write any name."""
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
