"""Files that are either complete or absent: written under a temporary name, flushed, then renamed."""

from __future__ import annotations

import errno
import json
import math
import mmap
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from utils.errors import InputError, WriteError
from utils.leftovers import making, remove_left_behind

LONGEST_NAME = 255  # bytes, on most file systems
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # letters that are none, and ends of lines
TEMPORARY = re.compile(r"\..*\.[0-9a-f]{16}\.tmp(\.\w+)?")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` (same suffix); what is written there becomes `path` at the end.

    No two callers get the same temporary path, in whatever thread, process or container they run.

    Raises:
        WriteError: the folder cannot be written or the disk is full; what stood at `path` is still there.
    """
    path = Path(path)

    def draw() -> Path:
        return path.with_name(f"{_temporary_stem(path)}.{secrets.token_hex(8)}.tmp{path.suffix}")

    try:
        _refuse_what_is_no_file(path)
        make_folder(path.parent)
        remove_leftovers_of(path)
        with making(draw) as temporary:
            try:
                yield temporary
                with open(temporary, "rb") as written:
                    os.fsync(written.fileno())
                os.replace(temporary, path)
            finally:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
    except BrokenPipeError:  # of standard output, while this was written
        raise
    except OSError as error:
        raise WriteError(f"{path}: cannot be written ({error.strerror or error})") from error


def _refuse_what_is_no_file(path: Path) -> None:
    """Raises OSError for devices, pipes and the like; as root we would otherwise replace `/dev/null` by a file."""
    is_open_file = path.is_symlink() and os.readlink(path).startswith("/proc/")  # /dev/stdout, whatever it is
    if is_open_file or path.exists() and (not path.is_file() and not path.is_dir()):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def read_bytes(path: str | Path) -> bytes:
    """The content of a regular file; a pipe or a device, which might never end, is refused.

    Raises:
        OSError: it cannot be read; `words_of` says why.
    """
    if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with open(path, "rb") as file:
        return file.read()


def open_text(path: str | Path) -> TextIO:
    """Opens UTF-8 text for reading and keeps line ends as they are; raises OSError, also for a device, which might
    never end.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise OSError(errno.EINVAL, "a device, not a file", str(path))
    return open(path, newline="", encoding="utf-8-sig")  # noqa: SIM115


def fault_of_file(path: str | Path) -> str:
    """Why a path cannot be read as a file, in the system's words; empty if it can."""
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb"):
                return ""
        return "a folder, not a file" if os.path.isdir(path) else "not a regular file"
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        return words_of(error)


def fault_of_folder(path: str | Path) -> str:
    """Why a folder cannot be listed, in the system's words; empty if it can."""
    try:
        os.scandir(path).close()
    except (OSError, ValueError) as error:
        return "no such folder" if (reason := words_of(error)) == "no such file" else reason
    return ""


def check_run_folder(run: Path) -> None:
    """Raises InputError, with the system's reason, if the path is not a folder that can be listed."""
    if fault := fault_of_folder(run):
        raise InputError(f"{run}: {fault}; expected the folder of a run")


def words_of(error: BaseException) -> str:
    """What went wrong with a file, in one line, without the file's name."""
    if isinstance(error, FileNotFoundError):
        is_link = error.filename is not None and os.path.islink(error.filename)
        return "a link to nothing" if is_link else "no such file"
    if isinstance(error, IsADirectoryError):
        return "a folder, not a file"
    if isinstance(error, NotADirectoryError):
        if os.path.isfile(error.filename or ""):
            return "a file, not a folder"
        return "not a folder" if os.path.exists(error.filename or "") else "no such file"
    if isinstance(error, MemoryError):
        return "there is too little memory to read it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def make_folder(path: Path) -> None:
    """Makes a folder and its parents where they are missing; raises OSError that names what is in the way."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        place = next(place for place in (path, *path.parents) if is_there(place))
        raise OSError(error.errno, f"{place}: {fault_of_folder(place)}", str(path)) from error


def real_path(path: Path) -> Path:
    """The path that `path` leads to, as `Path.resolve` has it; in a loop of links one of these, without an
    error yet.
    """
    return Path(os.path.realpath(path))


def is_there(path: Path) -> bool:
    """Whether something exists at a path, even if it is a broken link; raises OSError if that cannot be found out."""
    return path.exists() or path.is_symlink()


def identity(path: str | Path) -> tuple[str, int, int]:
    """Path, size and modification time. What was remembered of a file is valid as long as these stay the same."""
    status = os.stat(path)
    return str(path), status.st_size, status.st_mtime_ns


def fault_of_name(name: str) -> str:
    """Why an index file cannot hold a name: it is not UTF-8, or contains a line break; empty if it can."""
    if not is_utf8(name):
        return "its name is not UTF-8, as an index file is; rename it"
    return "its name holds a line break or the like; rename it" if CONTROL.search(name) else ""


def is_utf8(path: str | Path) -> bool:
    """Whether a name is valid UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def mapped(path: str | Path) -> Iterator[mmap.mmap]:
    """A file's content, read where it is looked at; raises OSError, or ValueError if it is empty."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files that killed processes left anywhere below `folder`; those still being
    written stay.
    """
    remove_left_behind(path for path in folder.rglob(".*.tmp*") if _is_temporary(path))


def remove_leftovers_of(path: Path) -> None:
    """Removes the temporary files of `path` that killed processes left beside it; one still being written stays."""
    begin = f"{_temporary_stem(path)}."
    found = [Path(entry.path) for entry in os.scandir(path.parent) if entry.name.startswith(begin)]
    remove_left_behind(other for other in found if _is_temporary(other))


def _temporary_stem(path: Path) -> str:
    """The beginning of a temporary name, shortened for a long name so that the whole stays within the
    system's limit.
    """
    rest = len(f"..{'0' * 16}.tmp") + len(os.fsencode(path.suffix))
    return "." + cut_bytes(path.stem, LONGEST_NAME - rest)


def cut_bytes(name: str, most: int) -> str:
    """The beginning of a name that takes at most `most` bytes on disk, cut between letters."""
    while len(os.fsencode(name)) > most:
        name = name[: -max(1, (len(os.fsencode(name)) - most) // 4)]
    return name


def _is_temporary(path: Path) -> bool:
    """Whether it is a file with a temporary name of `replacing`. Folders with such names belong to pages, which remove
    them.
    """
    return bool(TEMPORARY.fullmatch(path.name)) and path.is_file() and not path.is_symlink()


def write_json(path: str | Path, content: dict) -> None:
    """Writes `content` as indented JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def finite(content: object) -> object:
    """The same dictionaries, lists and values, with None in place of NaN and infinity, which JSON cannot hold."""
    if isinstance(content, dict):
        return {key: finite(part) for key, part in content.items()}
    if isinstance(content, list | tuple):
        return [finite(part) for part in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def read_json(path: str | Path) -> dict:
    """Reads a JSON object.

    Raises:
        InputError: the file is missing, or does not hold a JSON object.
    """
    try:
        with open_text(path) as file:
            content = json.load(file)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({words_of(error)})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object")
    return content
