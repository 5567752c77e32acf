"""PLY headers as programs and people write them: what is whole is read, what is not is told in plain words."""

from __future__ import annotations

import time

import numpy as np
import pytest
from conftest import write_cloud

from dataset.points import read_cloud
from utils.errors import InputError

RNG = np.random.default_rng(0)
XYZ = RNG.uniform(-1, 1, (50, 3)).astype(np.float32)
RGB = RNG.integers(0, 256, (50, 3))


def whole(tmp_path, **options) -> tuple[bytes, bytes]:
    """The header and the points of a file."""
    write_cloud(tmp_path / "whole.ply", XYZ, RGB, **options)
    head, mark, body = (tmp_path / "whole.ply").read_bytes().partition(b"end_header\n")
    return head + mark, body


def check(path, rows=50):
    xyz, rgb = read_cloud(str(path))
    np.testing.assert_allclose(xyz, XYZ[:rows], atol=1e-6)
    np.testing.assert_allclose(rgb, RGB[:rows] / 255, atol=1e-6)


HEADERS = {
    "umlauts": lambda head: head.replace(b"element", "comment Übung für Böhm, ½ 点群\nelement".encode(), 1),
    "latin": lambda head: head.replace(b"element", b"obj_info \xdcbung \x85 \x1c\nelement", 1),
    "blanks after ply": lambda head: head.replace(b"ply\n", b"ply \t\n", 1),
    "blanks after end_header": lambda head: head.replace(b"end_header\n", b"end_header  \n"),
    "all lines": lambda head: head.replace(b"\n", b" \n"),
    "CRLF end": lambda head: head.replace(b"end_header\n", b"end_header\r\n"),
    "CRLF": lambda head: head.replace(b"\n", b"\r\n"),
    "CR": lambda head: head.replace(b"\n", b"\r"),
    "blank lines": lambda head: head.replace(b"element", b"\n \nelement", 1),
    "tabs": lambda head: head.replace(b" ", b"\t"),
    "byte order mark": lambda head: b"\xef\xbb\xbf" + head,
    "comment of the end": lambda head: head.replace(b"element", b"comment end_header\nelement", 1),
    "capitals": lambda head: head.replace(b" x\n", b" X\n").replace(b" red\n", b" Red\n"),
}


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("name", HEADERS)
def test_headers(tmp_path, name, text):
    head, body = whole(tmp_path, text=text)
    body = body.replace(b"\n", b"\r") if text and name == "CR" else body
    (tmp_path / "a.ply").write_bytes(HEADERS[name](head) + body)
    check(tmp_path / "a.ply")


def test_a_first_byte_like_a_line_end(tmp_path):
    """Points follow the header at once: no byte of theirs goes with it."""
    xyz = XYZ.copy()
    xyz[0, 0] = np.frombuffer(b"\n\r\n\x40", "<f4")[0]
    write_cloud(tmp_path / "a.ply", xyz, RGB)
    content = (tmp_path / "a.ply").read_bytes()
    head, mark, body = content.partition(b"end_header\n")
    for changed in (content, (head + mark).replace(b"\n", b"\r") + body, (head + mark).replace(b"\n", b"\r\n") + body):
        (tmp_path / "a.ply").write_bytes(changed)
        np.testing.assert_array_equal(read_cloud(str(tmp_path / "a.ply"))[0], xyz)


FACES = b"element face 3\nproperty list uchar int vertex_indices\nend_header\n"


@pytest.mark.parametrize("faces", [b"", b"\x03", b"\x03\xff\xff\xff\xff" * 2, b"abc"])
def test_whole_vertices_with_damaged_faces(tmp_path, faces):
    head, body = whole(tmp_path)
    (tmp_path / "a.ply").write_bytes(head.replace(b"end_header\n", FACES) + body + faces)
    check(tmp_path / "a.ply")
    head, body = whole(tmp_path, text=True)
    (tmp_path / "a.ply").write_bytes(head.replace(b"end_header\n", FACES) + body + b"\n3 0 x\n" + faces)
    check(tmp_path / "a.ply")


def test_elements_before_the_vertices(tmp_path):
    camera = b"element camera 2\nproperty float f\nproperty char c\nelement vertex"
    head, body = whole(tmp_path)
    (tmp_path / "a.ply").write_bytes(head.replace(b"element vertex", camera) + b"0123456789" + body)
    check(tmp_path / "a.ply")
    head, body = whole(tmp_path, text=True)
    (tmp_path / "a.ply").write_bytes(head.replace(b"element vertex", camera) + b"1 2\n\n3 4\n" + body)
    check(tmp_path / "a.ply")
    lists = b"element face 1\nproperty list uchar int vertex_indices\nelement vertex"
    head, body = whole(tmp_path)
    face = b"\x02" + np.int32([1, 2]).tobytes()
    (tmp_path / "a.ply").write_bytes(head.replace(b"element vertex", lists) + face + body)
    check(tmp_path / "a.ply")


def test_colours_as_floats_and_blank_lines(tmp_path):
    head, _ = whole(tmp_path, text=True)
    rows = ["{:.7f} {:.7f} {:.7f} {:.1f} {} {}.0".format(*p, *c) for p, c in zip(XYZ, RGB, strict=True)]
    (tmp_path / "a.ply").write_bytes(head + "\n\n".join(rows).encode())
    check(tmp_path / "a.ply")


BAD = [
    ("no x", lambda head, body: head.replace(b" x\n", b" u\n") + body, "it has no x y z, but u y z red green blue"),
    (
        "a key",
        lambda head, body: head.replace(b"float x", b"half x") + body,
        "its header has the line 'property half x'",
    ),
    ("no vertices", lambda head, body: head.replace(b"vertex", b"corner") + body, "no vertices; it holds corner"),
    ("twice", lambda head, body: head.replace(b"float y", b"float x") + body, "a property of vertex twice"),
    ("truncated", lambda head, body: head + body[:-30], "early end-of-file: 48 of 50 points, the file is truncated"),
    ("no end", lambda head, body: head[:-11], "no header of a PLY file"),
    ("empty", lambda head, body: b"", "the file is empty"),
]


@pytest.mark.parametrize(("name", "make", "reason"), BAD, ids=[case[0] for case in BAD])
def test_what_is_wrong_is_told(tmp_path, name, make, reason):
    (tmp_path / "a.ply").write_bytes(make(*whole(tmp_path)))
    with pytest.raises(InputError) as error:
        read_cloud(str(tmp_path / "a.ply"))
    assert reason in str(error.value) and "PLY point cloud" in str(error.value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"0 0 0 300 0 0", "red is 300, which its type u1 cannot be"),
        (b"0 0 0 25.5 0 0", "red is 25.5, which its type u1 cannot be"),
        (b"0 0 0 25 0", "line 1: 5 numbers, the number of columns is 6"),
        (b"0 0 O 25 0 0", "line 1: 'O' is not a number"),
    ],
)
def test_wrong_lines(tmp_path, line, reason):
    head, body = whole(tmp_path, text=True)
    (tmp_path / "a.ply").write_bytes(head + line + b"\n" + body)
    with pytest.raises(InputError, match=reason):
        read_cloud(str(tmp_path / "a.ply"))


def test_meshes_in_text_are_read_as_fast_as_their_vertices(tmp_path):
    head, _ = whole(tmp_path, text=True)
    head = head.replace(b"vertex 50", b"vertex 50000").replace(b"end_header\n", FACES.replace(b" 3\n", b" 100000\n"))
    rows = "".join(f"{x:.5f} {y:.5f} {z:.5f} 1 2 3\n" for x, y, z in RNG.uniform(-1, 1, (50000, 3)))
    (tmp_path / "a.ply").write_bytes(head + rows.encode() + b"3 10 20 30\n" * 100000)
    start = time.monotonic()
    assert len(read_cloud(str(tmp_path / "a.ply"))[0]) == 50000
    assert time.monotonic() - start < 1.0  # about 0.1
