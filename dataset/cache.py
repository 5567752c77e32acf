"""Recordings, clouds and meshes, decoded once and kept as memory-mapped arrays."""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dataset.audio import cut_window, open_recording, read_window, recording_length
from dataset.meshes import read_surface
from dataset.points import read_points
from utils.errors import InputError, WriteError
from utils.files import replacing, words_of
from utils.leftovers import remove_left_behind

FORMAT = b"2"  # another one when the same file would be stored in another way
HEADER_BYTES = 128  # a line of JSON, names, types and shapes of the arrays that follow, padded with spaces
# A recording that decodes to more than this and so many times its own bytes is not kept: hours of silence in a few
# MB. Speech at the lowest rates of Opus is 300 times as large.
SMALL_BYTES, MOST_GROWTH = 2**28, 800
BLOCK = 2**20  # samples decoded at a time: memory does not grow with the recording


class NotKeptError(InputError):
    """A recording that is not kept, because its entry would be absurdly larger than the file."""


class Cache:
    """Reads as `dataset.audio`, `points` and `meshes` do; with a folder, what was read once is kept there.

    An entry is a file named after the path, size and modification time of its source, in a folder named after the
    rate: a source that changes gets a new entry, and the old one is removed. Entries are made on first use, under a
    temporary name and then renamed, so any number of processes may share a folder: at worst two make the same entry
    at once. An entry that is damaged is made again. A recording that is absurdly larger than its file gets none.

        clouds/<..>/<path>.<size>.<time>.bin         xyz [3, P] float32, rgb [3, P] in the file's own type
        audio-<rate>/<..>/<path>.<size>.<time>.bin   wave [L] float32
        meshes/<..>/<path>.<size>.<time>.bin         xyz [P, 3] float32

    Args:
        folder: of the cache; none or an empty name: every read goes to the files.

    Raises:
        WriteError: something else stands where the folder should be.
    """

    def __init__(self, folder: str | Path | None = None):
        self.folder = str(folder) if folder else None
        if self.folder and os.path.exists(self.folder) and not os.path.isdir(self.folder):
            raise WriteError(f"{folder}: cannot be written (not a folder); choose another, or leave --cache out")

    def recording_length(self, path: str, rate_hz: int) -> int:
        """Samples of the recording at `rate_hz`; raises InputError as `dataset.audio.recording_length`, WriteError."""
        if self.folder is None:
            return recording_length(path, rate_hz)
        try:
            return len(self.keep_recording(path, rate_hz))
        except NotKeptError:
            return recording_length(path, rate_hz)

    def read_window(self, path: str, start: int, length: int, rate_hz: int) -> np.ndarray:
        """Samples `[length]`, float32, mono; raises InputError as `dataset.audio.read_window`, WriteError."""
        if self.folder is None:
            return read_window(path, start, length, rate_hz)
        try:
            return cut_window(self.keep_recording(path, rate_hz), start, length)
        except NotKeptError:
            return read_window(path, start, length, rate_hz)

    def read_points(self, path: str) -> tuple[np.ndarray, np.ndarray | None]:
        """Points `[P, 3]` and colours `[P, 3]`; raises InputError as `dataset.points.read_points`, WriteError."""
        if self.folder is None:
            return read_points(path)
        cloud = self._entry("clouds", path, _write_cloud, main="xyz")
        return cloud["xyz"].T, cloud["rgb"].T if "rgb" in cloud else None

    def read_surface(self, path: str) -> np.ndarray:
        """Points `[P, 3]` on a mesh; raises InputError as `dataset.meshes.read_surface`, WriteError."""
        if self.folder is None:
            return read_surface(path)
        return self._entry("meshes", path, _write_surface, main="xyz")["xyz"]

    def keep_recording(self, path: str, rate_hz: int) -> np.ndarray:
        """The whole recording from its entry, which is made if it is missing; needs a folder.

        Raises:
            NotKeptError: it would decode to absurdly more than its file, so it gets no entry.
            InputError: as `dataset.audio.read_window`, WriteError.
        """
        write = partial(_write_recording, rate_hz=rate_hz)
        return self._entry(f"audio-{rate_hz}", path, write, main="wave")["wave"]

    def _entry(self, kind: str, path: str, write: Callable[[BinaryIO, str], None], main: str) -> dict[str, np.ndarray]:
        """The mapped arrays of a source, `main` and others; `write` makes the entry if it is missing."""
        try:
            source = os.stat(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({words_of(error)})") from error
        name = hashlib.blake2b(os.fsencode(os.path.abspath(path)), digest_size=16, salt=FORMAT).hexdigest()
        target = f"{self.folder}/{kind}/{name[:2]}/{name}.{source.st_size}.{source.st_mtime_ns}.bin"
        with suppress(OSError, ValueError, TypeError):  # there is none, or it is damaged
            entry = _mapped(target)
            if main in entry:
                return entry
        return _made(Path(target), path, write)


def _made(target: Path, path: str, write: Callable[[BinaryIO, str], None]) -> dict[str, np.ndarray]:
    """Writes an entry and removes the older entries of the same source."""
    try:
        with replacing(target) as temporary:
            with open(temporary, "wb") as file:
                write(file, path)
            entry = _mapped(temporary)  # before it is renamed: by then another process may have replaced it
    except WriteError as error:
        raise WriteError(f"{error}; the cache needs room there, or leave --cache out") from error
    name = target.name.partition(".")[0]
    remove_left_behind(target.parent.glob(f".{name}.*.tmp.bin"))
    for other in target.parent.glob(f"{name}.*"):
        if other != target:
            with suppress(OSError):
                other.unlink()
    return entry


def _mapped(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of an entry, read-only; raises OSError, ValueError or TypeError if it is missing or damaged."""
    with open(path, "rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    arrays, offset = {}, HEADER_BYTES
    for name, dtype, shape in json.loads(content[:HEADER_BYTES]):
        arrays[name] = np.frombuffer(content, dtype, math.prod(shape), offset).reshape(shape)
        offset += arrays[name].nbytes
    if offset != len(content):
        raise ValueError(f"{path}: {len(content)} bytes instead of {offset}")
    return arrays


def _write_header(file: BinaryIO, *arrays: tuple[str, str, tuple[int, ...]]) -> None:
    file.write(json.dumps(arrays).encode().ljust(HEADER_BYTES))


def _write_recording(file: BinaryIO, path: str, rate_hz: int) -> None:
    with open_recording(path) as recording:
        length = recording.length_at(rate_hz)
        own_bytes, entry_bytes = os.path.getsize(path), 4 * length
        if entry_bytes > SMALL_BYTES and 4 * recording.num_samples > MOST_GROWTH * own_bytes:
            raise NotKeptError(
                f"{path}: not kept in the cache but read from the file each time: {own_bytes / 1e6:.1f} MB of it "
                f"hold {recording.num_samples / recording.rate_hz / 3600:.1f} h, {entry_bytes / 1e6:.0f} MB decoded"
            )
        _write_header(file, ("wave", "<f4", (length,)))
        for start in range(0, length, BLOCK):
            file.write(recording.read(start, min(BLOCK, length - start), rate_hz, mono=True).tobytes())


def _write_surface(file: BinaryIO, path: str) -> None:
    xyz = read_surface(path)
    _write_header(file, ("xyz", xyz.dtype.str, xyz.shape))
    file.write(xyz.tobytes())


def _write_cloud(file: BinaryIO, path: str) -> None:
    xyz, rgb = read_points(path)
    arrays = {"xyz": xyz.T} if rgb is None else {"xyz": xyz.T, "rgb": rgb.T}
    _write_header(file, *((name, array.dtype.str, array.shape) for name, array in arrays.items()))
    for array in arrays.values():
        file.write(array.tobytes())
