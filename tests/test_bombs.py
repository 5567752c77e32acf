"""Files that claim to hold far more than they do, or have headers and lines without end: refused at once."""

from __future__ import annotations

import struct
import time
import tracemalloc

import build_cache
import numpy as np
import pytest
import soundfile

from dataset import cache, fingerprint
from dataset.captures import read_capture
from dataset.cloud_files import MOST_GROWTH, SMALL_BYTES
from dataset.meshes import read_off
from separation.scene_files import CANDIDATES, read_candidates
from utils.errors import InputError

RATE_HZ = 11025
SIZE = 8_000_000  # of a bomb, in bytes
REPEAT = b"\xe0\xff\x00"  # LZF: 264 times the byte before


def pcd(points: int, packed: bytes, size: int) -> bytes:
    header = f"FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH {points}\nHEIGHT 1\nDATA binary_compressed\n"
    return header.encode() + struct.pack("<II", len(packed), size) + packed


def ply(elements: str, body: bytes, encoding: str = "ascii") -> bytes:
    return f"ply\nformat {encoding} 1.0\n{elements}end_header\n".encode() + body


def zeros_lzf(repeats: int) -> tuple[bytes, int]:
    return b"\x00\x00" + REPEAT * repeats, 1 + 264 * repeats


VERTEX = "element vertex {}\nproperty float x\nproperty float y\nproperty float z\n"
LISTS = "element vertex {}\nproperty list uchar int x\n"
PACKED, UNPACKED = zeros_lzf(SIZE // 3)
BOMBS = {
    "grows.pcd": (pcd(UNPACKED // 12, PACKED, UNPACKED), "claim to unpack to 7"),
    "says little.pcd": (pcd(10, PACKED, 120), "its compressed points are damaged"),
    "line.pcd": (b"# .PCD v0.7\n#" + b"x" * SIZE + b"\nFIELDS x y z\n", "no header of a PCD file, of 1 MB at most"),
    "lines.pcd": (b"#\n" * (SIZE // 2), "no header of a PCD file, of 1 MB at most"),
    "fields.pcd": (b"FIELDS " + b"x " * (SIZE // 2), "no header of a PCD file, of 1 MB at most"),
    "blanks.pcd": (b" " * SIZE, "the file is empty"),
    "line.ply": (
        ply("comment " + "x" * SIZE + "\n" + VERTEX.format(1), b"1 2 3\n"),
        "no header of a PLY file, of 1 MB",
    ),
    "line ends.ply": (b"ply\n" + b"\r \t" * (SIZE // 3), "no header of a PLY file, of 1 MB"),
    "row.ply": (ply(VERTEX.format(2), b"1 2 3\n" + b"1 " * (SIZE // 2)), "line 2 has more than 1048576 bytes"),
    "points.ply": (ply(VERTEX.format(10**12), b"1 2 3\n"), "1 of 1000000000000 points, the file is truncated"),
    "digits.ply": (ply(VERTEX.format("9" * 5000), b"1 2 3\n"), "its header has the line 'element vertex 999"),
    "lists.ply": (ply(LISTS.format(10**9), b"1 2 3\n"), "1000000000 of vertex, the file is truncated"),
    "bytes of lists.ply": (ply(LISTS.format(10**9), b"1 2 3\n", "binary_little_endian"), "1000000000 of vertex"),
    "no numbers.ply": (ply("element vertex 10\n", b"1 2 3\n", "binary_little_endian"), "have no properties"),
    "words.xyz": (b"x " * (SIZE // 2), "line 1 has more than 1048576 bytes"),
    "late.xyz": (b"1 2 3\n" * 100 + b"1 " * (SIZE // 2), "line 101 has more than 1048576 bytes"),
    "comment.xyz": (b"#" + b"x," * (SIZE // 2) + b"\n1 2 3\n", "line 1 has more than 1048576 bytes"),
    "comments.pts": (b"# a\n" * (SIZE // 4) + b"1 2 3\n", "no point in its first 262145 lines"),
    "blanks.off": (b" " * SIZE, "line 1 has more than 1048576 bytes"),
    "row.off": (b"OFF 3 1 0\n" + b"1 " * (SIZE // 2), "line 2 has more than 1048576 bytes"),
    "digits.off": (b"OFF " + b"9" * 5000 + b" 1 1\n0 0 0\n", "its header is not OFF and three numbers"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(tmp_path, name):
    content, reason = BOMBS[name]
    path = tmp_path / name
    path.write_bytes(content)
    start = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as error:
            (read_off if name.endswith(".off") else read_capture)(str(path))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reason in str(error.value) and len(str(error.value)) < 300 + len(str(path))
    assert time.monotonic() - start < 30 and most < 4 * len(content) + 2**22, most


def test_what_shrinks_as_grids_of_depth_do_is_read(tmp_path):
    """Little that is there among much that is missing."""
    packed, size = zeros_lzf(45_000)
    assert MOST_GROWTH * len(packed) < size < SMALL_BYTES
    (tmp_path / "a.pcd").write_bytes(pcd(size // 12, packed, size))
    assert read_capture(str(tmp_path / "a.pcd")).xyz.shape == (size // 12, 3)


def test_old_macintosh_line_ends_make_no_long_line(tmp_path):
    (tmp_path / "a.off").write_bytes(b"OFF\r3 200000 0\r0 0 0\r1 0 0\r0 1 0\r" + b"3 0 1 2\r" * 200_000)
    assert len(read_off(str(tmp_path / "a.off"))[1]) == 200_000


@pytest.mark.parametrize("name", ["owners", "taken", "elsewhere"])
@pytest.mark.parametrize("value", [np.zeros(2**24, np.int8), np.array("x"), np.array([9.5]), np.array([7] * 5), None])
def test_candidates_that_others_made_are_searched_again(tmp_path, name, value):
    xyz = np.zeros((5, 3), np.float32)
    parts = {"capture": "key", "owners": np.zeros(5, np.int16), "taken": [0], "has_floor": True}
    parts |= {"scores": [0.5], "reasons": [""], "floors": [0.0], "elsewhere": [0, 0, 0]}
    np.savez_compressed(tmp_path / CANDIDATES, **parts)
    assert read_candidates(tmp_path, "key", xyz, None) is not None
    del parts[name]
    np.savez_compressed(tmp_path / CANDIDATES, **parts, **({} if value is None else {name: value}))
    assert read_candidates(tmp_path, "key", xyz, None) is None


def test_candidates_that_are_no_archive_of_arrays(tmp_path):
    (tmp_path / CANDIDATES).write_bytes(b"PK\x05\x06" + bytes(18))  # an archive of nothing
    assert read_candidates(tmp_path, "", np.zeros((5, 3)), None) is None
    (tmp_path / CANDIDATES).write_bytes(b"\x93NUMPY")
    assert read_candidates(tmp_path, "", np.zeros((5, 3)), None) is None


def test_hours_of_silence_take_no_room_in_a_cache(tmp_path, monkeypatch, capsys):
    """By a smaller measure of what is small: two minutes in 3 KB."""
    monkeypatch.setattr(cache, "SMALL_BYTES", 10**6)
    path = str(tmp_path / "a.flac")
    soundfile.write(path, np.zeros(120 * RATE_HZ, dtype=np.int16), RATE_HZ)
    kept = cache.Cache(tmp_path / "cache")
    assert kept.recording_length(path, RATE_HZ) == 120 * RATE_HZ
    assert (kept.read_window(path, 100 * RATE_HZ, 99, RATE_HZ) == np.zeros(99)).all()
    with pytest.raises(cache.NotKeptError, match="a.flac: not kept in .*: 0.0 MB of it hold 0.0 h, 5 MB"):
        kept.keep_recording(path, RATE_HZ)
    assert build_cache.Fill(kept, RATE_HZ)(path) is None and capsys.readouterr().out.count("\n") == 1
    assert not [place for place in (tmp_path / "cache").rglob("*") if place.is_file()]
    loud = str(tmp_path / "b.flac")
    soundfile.write(loud, np.random.default_rng(0).uniform(-0.1, 0.1, 120 * RATE_HZ), RATE_HZ)
    assert len(kept.keep_recording(loud, RATE_HZ)) == 120 * RATE_HZ


def test_fingerprints_end_after_some_hours(monkeypatch):
    """And yet all of a recording passes by, for what else is heard in it."""
    monkeypatch.setattr(fingerprint, "MOST_COMPARED", 50)
    blocks = iter(np.random.default_rng(0).standard_normal((40, RATE_HZ)).astype(np.float32))
    values, loud = fingerprint.fingerprint(blocks, RATE_HZ)
    assert len(values) == len(loud) == 49 and next(blocks, None) is None
