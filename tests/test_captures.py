"""Captures: every format, unit and direction of up; every broken file ends in its one line; frames of a folder."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import write_cloud
from demo_data import bodies
from demo_data.plan import INSTRUMENTS
from plyfile import PlyData, PlyElement

from dataset.captures import UP_AXES, choose_frames, list_frames, looks_upside_down, read_capture
from dataset.music import MUSICMixDataset
from dataset.settings import FrameSettings, VoxelSettings, Window
from utils.errors import InputError

RNG = np.random.default_rng(0)
XYZ = (RNG.uniform(-1, 1, (60, 3)) * (0.4, 0.85, 0.3)).astype(np.float32)  # 1.7 m high, its front towards +z
RGB = RNG.integers(0, 256, (60, 3))


def lines(*columns, title=""):
    rows = np.concatenate(columns, axis=1)
    return (title + "".join(" ".join(f"{value:.9g}" for value in row) + "\n" for row in rows)).encode()


def pcd(body: bytes, encoding: str, fields="x y z rgb", sizes="4 4 4 4", types="F F F U", points=60) -> bytes:
    header = f"# .PCD v0.7\nVERSION 0.7\nFIELDS {fields}\nSIZE {sizes}\nTYPE {types}\nCOUNT 1 1 1 1\nWIDTH {points}\n"
    return f"{header}HEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {points}\nDATA {encoding}\n".encode() + body


PACKED = RGB @ (1 << 16, 1 << 8, 1)
RECORDS = np.zeros(60, [("xyz", "<f4", 3), ("rgb", "<u4")])
RECORDS["xyz"], RECORDS["rgb"] = XYZ, PACKED
PLANES = b"".join([*(np.ascontiguousarray(XYZ[:, axis]).tobytes() for axis in range(3)), RECORDS["rgb"].tobytes()])


def literal_lzf(data: bytes) -> bytes:
    """LZF that repeats nothing, after the sizes."""
    packed = b"".join(bytes([len(data[k : k + 32]) - 1]) + data[k : k + 32] for k in range(0, len(data), 32))
    return np.array([len(packed), len(data)], "<u4").tobytes() + packed


FILES = {
    "three.xyz": (lines(XYZ), False),
    "title.xyz": (lines(XYZ, title="//X Y Z\n"), False),
    "commas.xyz": (lines(XYZ, RGB).replace(b" ", b","), True),
    "normals.xyz": (lines(XYZ, RNG.normal(size=(60, 3))), False),
    "unit.xyzrgb": (lines(XYZ, RGB / 255), True),
    "bytes.xyzrgb": (lines(XYZ, RGB), True),
    "windows.XYZRGB": (lines(XYZ, RGB).replace(b"\n", b"\r\n"), True),
    "colours.pts": (lines(XYZ, RGB, title="60\n"), True),
    "intensity.pts": (lines(XYZ, RGB[:, :1], RGB, title="60\n"), True),
    "plain.pts": (lines(XYZ), False),
    "ascii.pcd": (pcd(lines(XYZ, PACKED[:, None]).replace(b"e+06", b"e6"), "ascii"), True),
    "floats.pcd": (pcd(RECORDS.tobytes(), "binary", types="F F F F"), True),
    "binary.PCD": (pcd(RECORDS.tobytes(), "binary"), True),
    "alpha.pcd": (pcd(RECORDS.tobytes(), "binary", fields="x y z rgba"), True),
    "depth.pcd": (pcd(RECORDS.tobytes(), "binary", fields="x y z _"), False),
    "packed.pcd": (pcd(literal_lzf(PLANES), "binary_compressed"), True),
}


WHOLE = pcd(RECORDS.tobytes(), "binary")
SPLIT = np.zeros(60, [("rgb", "u1", 3), ("xyz", "<f4", 3)])
SPLIT["xyz"], SPLIT["rgb"] = XYZ, RGB
FILES |= {  # as writers of PCD differ
    "columns.pcd": (WHOLE.replace(b"FIELDS", b"COLUMNS"), True),
    "capitals.pcd": (WHOLE.replace(b"FIELDS x y z", b"FIELDS X Y Z"), True),
    "no_points.pcd": (WHOLE.replace(b"POINTS 60\n", b""), True),
    "umlauts.pcd": (WHOLE.replace(b"# .PCD", b"# \xfcbung \xc3\xa4 .PCD"), True),
    "latin.pcd": (WHOLE.replace(b"VERSION 0.7\n", b"VERSION 0.7\n\n# B\xf6hm\n").replace(b"DATA b", b"data B"), True),
    "windows.pcd": (pcd(lines(XYZ, PACKED[:, None]), "ascii").replace(b"\n", b"\r\n"), True),
    "split.pcd": (
        pcd(SPLIT.tobytes(), "binary", "r g b x y z", "1 1 1 4 4 4", "U U U F F F").replace(b"COUNT 1 1 1 1\n", b""),
        True,
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_formats(tmp_path, name):
    content, has_colours = FILES[name]
    (tmp_path / name).write_bytes(content)
    capture = read_capture(str(tmp_path / name))
    assert capture.xyz.dtype == np.float32 and capture.unit == "m" and capture.is_plausible
    np.testing.assert_allclose(capture.xyz, XYZ, atol=1e-6)
    assert (capture.rgb is not None) == has_colours
    if has_colours:
        assert capture.rgb.dtype == np.float32
        np.testing.assert_allclose(capture.rgb, RGB / 255, atol=1e-6)


def test_repeats_in_compressed_pcd(tmp_path):
    """Of zeros that are made from one zero, and of a repeat as long as two bytes can say."""
    body = np.zeros((60, 4), np.float32).tobytes()
    packed = b"\x00\x00" + bytes([0xE0, 264 - 9, 0]) * 3 + bytes([0xE0, len(body) - 1 - 3 * 264 - 9, 0])
    sizes = np.array([len(packed), len(body)], "<u4").tobytes()
    (tmp_path / "a.pcd").write_bytes(pcd(sizes + packed, "binary_compressed"))
    capture = read_capture(str(tmp_path / "a.pcd"))
    assert capture.xyz.shape == (60, 3) and not capture.xyz.any() and not capture.rgb.any()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("ending", ["pcd", "xyz", "xyzrgb", "pts"])
def test_what_open3d_writes(tmp_path, ending, compressed):
    open3d = pytest.importorskip("open3d", reason="open3d cannot be imported", exc_type=ImportError)
    cloud = open3d.geometry.PointCloud()
    cloud.points = open3d.utility.Vector3dVector(np.tile(XYZ, (9, 1)))
    cloud.colors = open3d.utility.Vector3dVector(np.tile(RGB / 255, (9, 1)))
    path = str(tmp_path / f"a.{ending}")
    open3d.io.write_point_cloud(path, cloud, compressed=compressed)
    capture = read_capture(path)
    np.testing.assert_allclose(capture.xyz, np.tile(XYZ, (9, 1)), atol=1e-6)
    if ending != "xyz":
        np.testing.assert_allclose(capture.rgb, np.tile(RGB / 255, (9, 1)), atol=1e-6)


def test_missing_depth_is_left_out(tmp_path):
    holes = XYZ.copy()
    holes[3], holes[5, 1] = np.nan, np.inf
    records = RECORDS.copy()
    records["xyz"] = holes
    (tmp_path / "a.pcd").write_bytes(pcd(records.tobytes(), "binary"))
    (tmp_path / "a.xyzrgb").write_bytes(lines(holes, RGB))
    write_cloud(tmp_path / "a.ply", holes, RGB)
    for path in tmp_path.iterdir():
        capture = read_capture(str(path))
        np.testing.assert_allclose(capture.xyz, np.delete(XYZ, [3, 5], axis=0), atol=1e-6)
        np.testing.assert_allclose(capture.rgb, np.delete(RGB, [3, 5], axis=0) / 255, atol=1e-6)


PER_METRE = {"m": 1, "cm": 100, "mm": 1000, "ft": 1 / 0.3048, "in": 1 / 0.0254}
UNITS = [
    (unit, height) for unit in ("m", "cm", "mm") for height in (0.6, 1.1, 1.7, 2.9) if (unit, height) != ("cm", 0.6)
]
UNITS += [(unit, height) for unit in ("ft", "in") for height in (1.2, 1.7, 2.1)]


@pytest.mark.parametrize(("unit", "height"), UNITS)
def test_units(tmp_path, unit, height):
    per_metre = PER_METRE[unit]
    write_cloud(tmp_path / "a.ply", XYZ * per_metre * height / 1.7)
    capture = read_capture(str(tmp_path / "a.ply"))
    assert (capture.unit, capture.is_plausible) == (unit, True)
    np.testing.assert_allclose(capture.xyz, XYZ * height / 1.7, atol=1e-5)


def test_units_that_are_doubtful_are_told(tmp_path):
    """60 is a small musician in centimetres, or one as usual in inches; 4 m a hall, or musicians in feet."""
    write_cloud(tmp_path / "a.ply", XYZ * 65 / 1.7)
    doubtful = read_capture(str(tmp_path / "a.ply"))
    assert doubtful.unit == "in" and "0.58 m in cm; --unit settles it" in doubtful.notes[-1]
    told = read_capture(str(tmp_path / "a.ply"), unit="cm")
    assert told.unit == "cm" and not told.notes
    np.testing.assert_allclose(told.xyz, XYZ * 0.65 / 1.7, atol=1e-5)
    write_cloud(tmp_path / "hall.ply", XYZ * 4.4 / 1.7)
    hall = read_capture(str(tmp_path / "hall.ply"), is_scene=True)
    assert hall.unit == "m" and "1.2" in hall.notes[-1] and "m in ft; --unit settles it" in hall.notes[-1]
    assert read_capture(str(tmp_path / "hall.ply")).unit == "ft"


@pytest.mark.parametrize("ending", ["ply", "pcd", "xyz"])
def test_coordinates_of_a_map(tmp_path, ending):
    """Half a million metres from the origin float32 resolves 3 cm at best; moved first, all is kept."""
    far = XYZ.astype(np.float64) + (431_234.567, 312.5, 5_412_345.678)
    if ending == "ply":
        rows = np.array([tuple(row) for row in far], [(axis, "<f8") for axis in "xyz"])
        PlyData([PlyElement.describe(rows, "vertex")]).write(tmp_path / "a.ply")
    elif ending == "pcd":
        body = far.astype("<f8").tobytes()
        header = pcd(b"", "binary", fields="x y z", sizes="8 8 8", types="F F F").replace(b"COUNT 1 1 1 1\n", b"")
        (tmp_path / "a.pcd").write_bytes(header + body)
    else:
        (tmp_path / "a.xyz").write_text("".join(f"{x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in far))
    capture = read_capture(str(tmp_path / f"a.{ending}"))
    assert abs(capture.xyz).max() < 3 and "far from the origin: moved by -43123" in capture.notes[-1]
    np.testing.assert_allclose(capture.xyz + capture.shift_m, far, atol=1e-5)
    z_up = read_capture(str(tmp_path / f"a.{ending}"), up="z", unit="m")
    np.testing.assert_allclose(z_up.xyz + z_up.shift_m, far @ UP_AXES["z"].T, atol=1e-5)


def test_coordinates_that_the_file_itself_has_rounded(tmp_path):
    write_cloud(tmp_path / "a.ply", XYZ + np.float32([431_234, 0, 5_412_345]))
    notes = read_capture(str(tmp_path / "a.ply")).notes
    assert "its 32-bit floats hold such coordinates in steps of 0.5 m only" in notes
    assert read_capture(str(tmp_path / "a.ply")).shift_m is not None
    write_cloud(tmp_path / "near.ply", XYZ)
    near = read_capture(str(tmp_path / "near.ply"))
    assert near.shift_m is None and not near.notes


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_what_is_upside_down_is_noticed(instrument):
    """Always on a floor; without one most are, and none that stands upright is taken for it."""
    noticed = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        xyz, _ = bodies.cloud(bodies.draw_performer(instrument, rng), 0, rng)
        assert not looks_upside_down(xyz) and not looks_upside_down(1000 * xyz + 5)
        turned = xyz @ UP_AXES["-y"].T
        noticed.append(looks_upside_down(turned))
        floor = rng.uniform((-2, -0.01, -2), (2, 0, 2), (3000, 3))
        assert looks_upside_down(np.concatenate([turned, floor]))
        assert not looks_upside_down(np.concatenate([xyz, floor]))
    assert sum(noticed) >= 6


def test_upside_down_is_loud(tmp_path):
    rng = np.random.default_rng(0)
    xyz, rgb = bodies.cloud(bodies.draw_performer("guitar", rng), 0, rng)
    write_cloud(tmp_path / "a.ply", xyz * (1, -1, -1), rgb)
    assert any("UPSIDE DOWN" in note and "--up -y" in note for note in read_capture(str(tmp_path / "a.ply")).notes)
    assert not read_capture(str(tmp_path / "a.ply"), up="-y").notes


@pytest.mark.parametrize("height", [0.1, 12.0])
def test_implausible_heights_are_taken_as_metres(tmp_path, height):
    write_cloud(tmp_path / "a.ply", XYZ / 1.7 * height)
    capture = read_capture(str(tmp_path / "a.ply"))
    assert (capture.unit, capture.is_plausible) == ("m", False)
    assert capture.height_m == pytest.approx(height, rel=0.2)


FILE_OF = {  # up -> columns of a file whose points are XYZ once up is turned to Y
    "y": lambda x, y, z: (x, y, z),
    "z": lambda x, y, z: (x, -z, y),
    "-y": lambda x, y, z: (x, -y, -z),
    "-z": lambda x, y, z: (x, z, -y),
    "x": lambda x, y, z: (y, -x, z),
    "-x": lambda x, y, z: (-y, x, z),
}


@pytest.mark.parametrize("up", UP_AXES)
def test_up(tmp_path, up):
    assert np.linalg.det(UP_AXES[up]) == pytest.approx(1)
    axis = {"x": 0, "y": 1, "z": 2}[up[-1]]
    assert (UP_AXES[up] @ (np.eye(3)[axis] * (-1 if up[0] == "-" else 1)) == (0, 1, 0)).all()
    write_cloud(tmp_path / "a.ply", 1000 * np.stack(FILE_OF[up](*XYZ.T), axis=1))
    capture = read_capture(str(tmp_path / "a.ply"), up)
    assert capture.unit == "mm"
    np.testing.assert_allclose(capture.xyz, XYZ, atol=1e-5)


NO_PCD = "cannot be read as a PCD point cloud"
NO_TEXT = "cannot be read as a text point cloud"
BAD = [
    ("missing.pcd", None, rf"{NO_PCD} \(no such file\)"),
    ("missing.ply", None, "no such file"),
    ("zero.pcd", b"", rf"{NO_PCD} \(the file is empty\)"),
    ("zero.xyz", b"", rf"{NO_TEXT} \(the file is empty\)"),
    ("blank.pts", b" \n\n", rf"{NO_TEXT} \(the file is empty\)"),
    ("title.xyz", b"x y z\n\n", "holds no points"),
    ("remarks.xyz", b"# a\n# b\n", "holds no points"),
    ("text.pcd", b"this is no cloud\n" * 50, f"{NO_PCD} .no header"),
    ("text.xyz", b"this is no cloud\n" * 50, f"{NO_TEXT} .line 2: 'this' is not a number"),
    ("bytes.pcd", bytes(range(256)) * 40, NO_PCD),
    ("bytes.xyzrgb", bytes(range(256)) * 40, NO_TEXT),
    ("columns.xyz", b"1 2\n3 4\n", r"2 column\(s\), expected x y z"),
    (
        "truncated.xyz",
        lines(XYZ)[:-25] + b"1 2",
        f"{NO_TEXT} .line 60: 2 numbers, the number of columns is 3; truncated",
    ),
    ("truncated.pts", lines(XYZ[:40], title="60\n"), "40 points, but its first line states 60; .* truncated"),
    ("truncated.pcd", WHOLE[:-100], "860 bytes of points, but its header states 960; the file is truncated"),
    ("lines.pcd", pcd(lines(XYZ[:40], PACKED[:40, None]), "ascii"), "the file is truncated"),
    ("header.pcd", WHOLE[:60], f"{NO_PCD} .no header"),
    ("negative.pcd", WHOLE.replace(b"POINTS 60", b"POINTS -6"), "a negative number of points"),
    ("endless.pcd", WHOLE.replace(b"POINTS 60", b"POINTS 99999999999999999999"), "the file is truncated"),
    ("lzf.pcd", pcd(literal_lzf(PLANES)[:-40], "binary_compressed"), "the file is truncated"),
    ("damaged.pcd", pcd(literal_lzf(PLANES).replace(b"\x1f", b"\xff", 1), "binary_compressed"), NO_PCD),
    ("other.pcd", WHOLE.replace(b"DATA binary", b"DATA zip"), "unknown encoding zip"),
    ("fields.pcd", WHOLE.replace(b"FIELDS x y z rgb", b"FIELDS a b c d"), f"{NO_PCD} .it has no x y z, but a b c d"),
    ("no_fields.pcd", WHOLE.replace(b"FIELDS x y z rgb\n", b""), "no FIELDS in its header"),
    ("types.pcd", WHOLE.replace(b"TYPE F F F U", b"TYPE Q F F U"), f"{NO_PCD} .unknown type Q in its header"),
    ("count.pcd", WHOLE.replace(b"SIZE 4 4", b"SIZE 4"), f"{NO_PCD} .FIELDS, SIZE, TYPE and COUNT .* differ in length"),
    ("width.pcd", WHOLE.replace(b"POINTS 60", b"POINTS six"), f"{NO_PCD} .'six' in its header, expected a whole"),
    ("none.pcd", pcd(b"", "binary", points=0), "the cloud holds no points"),
    ("nan.xyz", b"nan nan nan\n" * 9, "the cloud holds no points"),
    ("too_large.xyz", b"1e300 1 1\n" * 9, "the cloud holds no points"),
    ("red.xyzrgb", b"1 2 3 900 0 0\n1 2 3 0 0 0\n", "colours from 0 to 900; expected 0..1 or 0..255"),
    ("cloud.las", b"LASF", r"expected a point cloud whose name ends in .ply, .pcd"),
    ("no_ending", b"1 2 3\n", "expected a point cloud"),
    ("folder.pcd", "folder", NO_PCD),
]


@pytest.mark.parametrize(("name", "content", "expected"), BAD, ids=[case[0] for case in BAD])
def test_bad_files(tmp_path, capfd, recwarn, name, content, expected):
    if content == "folder":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        read_capture(str(tmp_path / name))
    assert str(caught.value).startswith(str(tmp_path / name)) and "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "") and not recwarn.list


def test_list_frames(tmp_path):
    for name in ("00002.pcd", "00001.PLY", "00010.xyz", ".hidden.ply", "notes.txt"):
        (tmp_path / name).write_text("")
    listed = list_frames(str(tmp_path))
    assert listed == [str(tmp_path / name) for name in ("00001.PLY", "00002.pcd", "00010.xyz")]
    assert list_frames(listed[1]) == [listed[1]]
    with pytest.raises(InputError, match="absent: no such file"):
        list_frames(str(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: the folder holds no point cloud"):
        list_frames(str(tmp_path / "empty"))


def test_choose_frames():
    paths = [f"p/{frame:05d}.ply" for frame in range(9)]
    rng, frames = np.random.default_rng, FrameSettings(count=3, stride=2)
    assert choose_frames(paths[:1], frames, rng(0)) == paths[:1] * 3
    with pytest.raises(InputError, match="p: 4 frames, but --num_frames 3 --stride_frames 2 needs 5"):
        choose_frames(paths[:4], frames, rng(0))
    drawn = [tuple(paths.index(path) for path in choose_frames(paths, frames, rng(seed))) for seed in range(60)]
    assert {taken[1] - taken[0] for taken in drawn} | {taken[2] - taken[1] for taken in drawn} == {2}
    assert {taken[1] for taken in drawn} == {3, 4, 5, 6}


def test_frames_are_those_of_an_evaluation(rows):
    """The dataset draws the window first, then the frames, from one generator."""
    frames = FrameSettings(count=2, stride=1)
    settings = {"window": Window(8191, 11025), "frames": frames, "voxels": VoxelSettings(0.02, colours=False)}
    dataset = MUSICMixDataset(rows, training=False, num_samples=1, seed=0, num_mix=3, **settings)
    for seed in range(9):
        draws = dataset.draw(0, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        others = sorted(set(dataset.by_instrument) - {rows[0].instrument})
        chosen = rng.choice(2, 2, replace=False)
        for draw, instrument in zip(draws, [None, *chosen], strict=True):
            if instrument is not None:
                rng.integers(len(dataset.by_instrument[others[instrument]]))
            rng.integers(8191 // 2 + 1, 3 * 11025 - 8191 // 2)
            paths = [draw.row.frame_path(frame) for frame in range(draw.row.num_frames)]
            assert choose_frames(paths, frames, rng) == [draw.row.frame_path(frame) for frame in draw.frames]
