"""What a user can mend is told in one line; everything else is a fault of ours and keeps its traceback."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable

# What is wrong with a path that was given, wherever it is noticed.
PATH_FAULTS = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS)


class InputError(ValueError):
    """Bad input or options. The message is one line that names the file or option and says what to do."""


class WriteError(InputError):
    """A file that cannot be written: the disk is full, or the folder is not ours to write to."""


def run_command(command: Callable[[], int | None]) -> None:
    """Runs a script's main function and exits: 0, or 2 after the one line of an `InputError` or of a path's fault."""
    try:
        sys.exit(command())
    except InputError as error:
        sys.exit(_complain(error))
    except OSError as error:
        if error.errno not in PATH_FAULTS or error.filename is None:
            raise
        sys.exit(_complain(InputError(f"{error.filename}: {error.strerror}")))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _complain(error: InputError) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2
