"""A page's folder: its own files, plotly, and the data it shows; written completely or not at all."""

from __future__ import annotations

import errno
import glob
import json
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from plotly.offline import get_plotlyjs

from utils.errors import WriteError
from utils.files import TEMPORARY, fault_of_folder, finite, is_there, make_folder, read_json, real_path, write_json
from utils.leftovers import holding, if_left_behind, making

STATIC = Path(__file__).resolve().parent / "static"
DATA, DATA_BEGINS = "data.js", "window.REPORT = "
MANIFEST = "page.json"  # lists the files of the page: no others are removed with it
# The files of pages written before such lists existed.
UNLISTED = re.compile(
    r"index\.html|page\.(css|js)|data\.js|plotly\.min\.js|figures/[\w-]+\.png|mixtures/\d{4}/\w+\.(mp3|jpg|js)"
    r"|(cloud|wave|sound|spectrum)\d+\.(js|png|mp3|jpg)"
)
MINUS = "\u2212"  # as of the figures and of page.js
TRIES = 100  # to put a page in its place while others do the same


@contextmanager
def writing_page(folder: Path) -> Iterator[tuple[Path, dict]]:
    """Yields a folder for the files of a page and an empty description of it; at the end both become `folder`.

    The description is what `static/page.js` shows. It must receive title: str. about: lines below it. links: [{href,
    text}] to other pages of the folder, may be missing. scores: {columns, rows: [{name, values, signed}], notes}, or
    None. figures: [{file, title}]. columns: [{key, label, signed, lower_is_better}] of scores. rows: [{index, name,
    instruments, values: {key: number or None}, media}], media from `reports.media` or None.

    An earlier page in `folder` is replaced, and stays if anything fails; other files there stay in any case. Several
    processes may write the same page at once: the last one's remains.

    Raises:
        WriteError: the folder cannot be written, or holds something else.
    """
    folder = real_path(folder)  # where a link leads
    files_of_page(folder)
    page: dict = {}
    try:
        _clear_leftovers(folder)
        make_folder(folder.parent)
        with making(lambda: _beside(folder), is_folder=True) as new:
            try:
                yield new, page
                for path in filter(Path.is_file, STATIC.iterdir()):
                    shutil.copyfile(path, new / path.name)
                (new / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
                (new / DATA).write_text(f"{DATA_BEGINS}{json.dumps(finite(page))};\n", encoding="utf-8")
                written = sorted(path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file())
                write_json(new / MANIFEST, {"files": [*written, MANIFEST]})
                _put_in_place(new, folder)
            finally:
                shutil.rmtree(new, ignore_errors=True)
    except BrokenPipeError:  # of standard output, while this was written
        raise
    except OSError as error:
        raise WriteError(f"{folder}: cannot be written ({error.strerror or error})") from error


def files_of_page(folder: Path) -> list[str]:
    """The files of the page in a folder, relative to it; none if the folder does not exist.

    Raises:
        WriteError: the folder holds something that is not a page.
    """
    if not is_there(folder):
        return []
    if fault := fault_of_folder(folder):
        raise WriteError(f"{folder}: cannot be written ({fault})")
    if (folder / MANIFEST).is_file():
        files = read_json(folder / MANIFEST).get("files", [])
        if isinstance(files, list) and all(isinstance(name, str) for name in files):
            return [name for name in files if not PurePosixPath(name).is_absolute() and ".." not in name.split("/")]
    elif (folder / DATA).is_file():  # of before there were lists
        with open(folder / DATA, encoding="utf-8", errors="replace") as file:
            if file.read(len(DATA_BEGINS)) == DATA_BEGINS:
                names = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
                return [name for name in names if UNLISTED.fullmatch(name)]
    elif not any(folder.iterdir()):
        return []
    raise WriteError(f"{folder}: holds something that is no report; choose another folder, or remove it")


def _put_in_place(new: Path, folder: Path) -> None:
    """Makes `new` the page in `folder`, and moves other files that are in `folder` into it."""
    for _ in range(TRIES):
        try:
            with holding(folder):
                _exchange(new, folder)
        except FileNotFoundError:
            if folder.exists():
                raise
            with suppress(OSError):  # somebody else's stands there by now
                new.rename(folder)
        if not new.exists():
            return
    raise WriteError(f"{folder}: other processes keep writing there")


def _exchange(new: Path, folder: Path) -> None:
    """Puts `new` in place of the page in `folder`, unless another page gets there first."""
    old = _beside(folder)
    folder.rename(old)
    try:
        _hand_over(old, new, files_of_page(old))
        new.rename(folder)
    except BaseException as error:
        is_taken = isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST)
        if not folder.exists():
            old.rename(folder)
            old = None
        if not is_taken:
            raise
    if old:
        shutil.rmtree(old, ignore_errors=True)


def _clear_leftovers(folder: Path) -> None:
    """Removes what killed processes left beside `folder`; nothing is lost of a page that was being replaced."""
    found = folder.parent.glob(f".{glob.escape(folder.name)}.*.tmp") if folder.parent.is_dir() else ()
    for path in [path for path in found if TEMPORARY.fullmatch(path.name) and path.is_dir() and not path.is_symlink()]:
        with if_left_behind(path) as is_left:
            if not is_left:
                continue
            if (path / MANIFEST).is_file():  # a whole page: what is no part of it is somebody's
                if folder.exists():
                    _hand_over(path, folder, files_of_page(path))
                else:
                    path.rename(folder)
            shutil.rmtree(path, ignore_errors=True)


def _hand_over(old: Path, new: Path, listed: list[str]) -> None:
    """Moves the files of a page's folder that are not `listed` into the folder of the next page."""
    for path in sorted(old.rglob("*")):
        name = path.relative_to(old)
        if (path.is_symlink() or not path.is_dir()) and name.as_posix() not in listed:
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            path.rename(new / name)


def _beside(folder: Path) -> Path:
    """A name for a folder beside another one that nobody else uses."""
    return folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.tmp")
