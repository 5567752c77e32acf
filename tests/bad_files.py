"""Recordings and clouds of every kind that a disk may hold: each with what writes it and what reading it says."""

from __future__ import annotations

import numpy as np
import soundfile
from conftest import write_cloud
from plyfile import PlyData, PlyElement

RATE = 11025
RNG = np.random.default_rng(0)
SUBTYPES = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}
WORKS = ""  # the expectation of a case that is no error; the others are patterns of the error's line


# Recordings: a file's name and what writes it.


def sound(seconds: float = 3.0, rate: int = RATE) -> np.ndarray:
    return 0.2 * np.sin(0.1 * np.arange(int(seconds * rate))) + 0.01 * RNG.standard_normal(int(seconds * rate))


def recording(wave: np.ndarray, rate: int = RATE, subtype: str | None = None):
    def write(path):
        soundfile.write(path, wave, rate, subtype=subtype or SUBTYPES[path.suffix[1:]])

    return write


def shortened(write, share: float):
    """The first part of what `write` writes."""

    def write_part(path):
        write(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

    return write_part


def content(data: bytes):
    return lambda path: path.write_bytes(data)


def with_one(value: float, seconds: float = 1.0) -> np.ndarray:
    wave = sound(seconds)
    wave[len(wave) // 2] = value
    return wave


RECORDINGS = [
    ("truncated.mp3", shortened(recording(sound(12)), 0.05), "truncated.mp3: .*the file is truncated"),
    ("truncated.flac", shortened(recording(sound(12)), 0.05), "truncated.flac: (cannot be decoded|.* truncated)"),
    ("truncated.ogg", shortened(recording(sound(12)), 0.5), WORKS),  # libsndfile counts what is there
    ("truncated.wav", shortened(recording(sound(12)), 0.5), WORKS),  # likewise, whatever the header says
    ("header.wav", shortened(recording(sound(12)), 1e-4), "header.wav: cannot be read as audio"),
    ("header.flac", shortened(recording(sound(12)), 1e-4), "header.flac: cannot be read as audio"),
    ("header.ogg", shortened(recording(sound(12)), 1e-3), "header.ogg: cannot be read as audio"),
    ("header.mp3", shortened(recording(sound(12)), 1e-3), "header.mp3: cannot be read as audio"),
    ("zero.mp3", content(b""), r"zero.mp3: cannot be read as audio \(the file is empty\)"),
    ("zero.wav", content(b""), r"zero.wav: cannot be read as audio \(the file is empty\)"),
    ("zero.flac", content(b""), r"zero.flac: cannot be read as audio \(the file is empty\)"),
    ("zero.ogg", content(b""), r"zero.ogg: cannot be read as audio \(the file is empty\)"),
    ("text.mp3", content(b"this is not audio\n" * 500), r"text.mp3: .*\(no frames of audio in it\)"),
    ("text.wav", content(b"this is not audio\n" * 500), "text.wav: cannot be read as audio"),
    ("page.mp3", content(b"<!DOCTYPE html>\n<html>not found</html>\n"), "page.mp3: cannot be read as audio"),
    ("riff.mp3", lambda path: soundfile.write(path, sound(), RATE, format="WAV"), WORKS),  # told by its content
    ("headless.raw", content(bytes(9999)), "headless.raw: cannot be read as audio"),
    ("nothing.wav", recording(sound(0)), "nothing.wav: the recording holds no samples"),
    ("nothing.ogg", recording(sound(0)), "nothing.ogg: the recording holds no samples"),
    ("nothing.flac", recording(sound(0)), "nothing.flac: cannot be read as audio"),
    ("nothing.mp3", recording(sound(0)), "nothing.mp3: cannot be read as audio"),
    ("one_sample.wav", recording(np.full(1, 0.1)), WORKS),
    ("one_second.wav", recording(sound(1)), WORKS),
    ("one_second.mp3", recording(sound(1)), WORKS),
    ("silent.wav", recording(np.zeros(3 * RATE)), WORKS),
    ("silent.mp3", recording(np.zeros(3 * RATE)), WORKS),
    ("nan.wav", recording(with_one(np.nan), subtype="FLOAT"), "nan.wav: holds NaN or infinite samples"),
    ("nan_48k.wav", recording(with_one(np.nan), 48000, "FLOAT"), "nan_48k.wav: holds NaN or infinite samples"),
    ("infinite.wav", recording(with_one(np.inf), subtype="DOUBLE"), "infinite.wav: holds NaN or infinite samples"),
    ("too_loud.wav", recording(with_one(1e300), subtype="DOUBLE"), "too_loud.wav: holds NaN or infinite samples"),
    (
        "too_loud_six.wav",
        recording(np.full((RATE, 6), 3e38), subtype="FLOAT"),
        "too_loud_six.wav: holds NaN or infinite samples",
    ),
    ("loud.wav", recording(sound() * 100, subtype="FLOAT"), WORKS),  # clipped, as every sum of a mixture is
    ("8_khz.wav", recording(sound(rate=8000), 8000), WORKS),
    ("8_khz.mp3", recording(sound(rate=8000), 8000), WORKS),
    ("192_khz.wav", recording(sound(rate=192_000), 192_000), WORKS),
    ("192_khz.flac", recording(sound(rate=192_000), 192_000), WORKS),
    ("1_hz.wav", recording(sound(), 1), WORKS),
    ("2_ghz.wav", recording(sound(), 2**31 - 1), "2_ghz.wav: too short for one sample at 11025 Hz"),
    ("6_channels.wav", recording(np.stack([sound()] * 6, axis=1)), WORKS),
    ("6_channels.flac", recording(np.stack([sound()] * 6, axis=1)), WORKS),
    ("8_bits.wav", recording(sound(), subtype="PCM_U8"), WORKS),
    ("missing.wav", lambda path: None, "missing.wav: cannot be read as audio .no such file"),
    ("folder.wav", lambda path: path.mkdir(), "folder.wav: cannot be read as audio"),
    ("with space, ümlaut 音.mp3", recording(sound()), WORKS),
]

# Clouds: colours are asked for in all but the cases named `depth`.
XYZ = RNG.uniform(-0.5, 0.5, (40, 3)).astype(np.float32)
RGB = RNG.integers(0, 256, (40, 3))


def cloud(xyz=XYZ, rgb=RGB, **options):
    return lambda path: write_cloud(path, xyz, rgb, **options)


def vertices(position="f4", colour="u1", byte_order="=", full_scale=255, extra=(), text=False, **columns):
    """Points with properties of the given types, and `columns` in place of their values."""

    def write(path):
        fields = [*extra[:1], *((axis, position) for axis in "xyz"), *extra[1:]]
        fields += [(name, colour) for name in ("red", "green", "blue")] if colour else []
        rows = np.zeros(len(XYZ), dtype=fields)
        for n, axis in enumerate("xyz"):
            rows[axis] = XYZ[:, n]
        for n, name in enumerate(("red", "green", "blue") if colour else ()):
            rows[name] = RGB[:, n] / 255 * full_scale
        for name, values in columns.items():
            rows[name][: len(values)] = values
        faces = np.zeros(2, dtype=[("vertex_indices", "i4", (3,))])
        elements = [PlyElement.describe(rows, "vertex"), PlyElement.describe(faces, "face")]
        PlyData(elements if extra else elements[:1], byte_order=byte_order, text=text).write(path)

    return write


def edited(old: bytes, new: bytes, write=None):
    """A PLY file with a part of it replaced."""

    def write_edited(path):
        (write or cloud())(path)
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new))

    return write_edited


def holed(value: float, count: int) -> np.ndarray:
    xyz = XYZ.copy()
    xyz[:count, 1] = value
    return xyz


EXTRA = [("nx", "f4"), ("alpha", "u1"), ("label", "i4")]
NOT_PLY = "cannot be read as a PLY point cloud"
CLOUDS = [
    ("whole", cloud(), WORKS),
    ("truncated", shortened(cloud(), 0.7), f"00001.ply: {NOT_PLY} .*early end-of-file"),
    ("truncated ascii", shortened(cloud(text=True), 0.7), f"00001.ply: {NOT_PLY}"),
    ("header", shortened(cloud(), 0.1), f"00001.ply: {NOT_PLY}"),
    ("zero", content(b""), f"00001.ply: {NOT_PLY}"),
    ("text", content(b"x y z\n1 2 3\n"), f"00001.ply: {NOT_PLY}"),
    ("no points", cloud(XYZ[:0], RGB[:0]), "00001.ply: the cloud holds no points"),
    ("one point", cloud(XYZ[:1], RGB[:1]), WORKS),
    ("one voxel", cloud(XYZ * 1e-6 + 1, RGB), WORKS),
    ("some NaN", cloud(holed(np.nan, 5)), WORKS),  # as depth cameras write them
    ("some infinite", cloud(holed(-np.inf, 5)), WORKS),
    ("all NaN", cloud(holed(np.nan, 40)), "00001.ply: the cloud holds no points"),
    ("no colours", cloud(rgb=None), "00001.ply: the cloud has no colours; use --rgbs_feature 0"),
    ("depth, no colours", cloud(rgb=None), WORKS),
    ("one colour", edited(b"green", b"greed"), "00001.ply: the cloud has no colours"),
    ("ascii", cloud(text=True), WORKS),
    ("ascii of Windows", edited(b"\n", b"\r\n", cloud(text=True)), WORKS),
    ("ascii, a colour of 300", edited(b"end_header\n", b"end_header\n0 0 0 300 0 0\n", cloud(text=True)), NOT_PLY),
    ("little endian", cloud(byte_order="<"), WORKS),
    ("big endian", cloud(byte_order=">"), WORKS),
    ("double", vertices("f8"), WORKS),
    ("double big endian", vertices("f8", byte_order=">"), WORKS),
    ("whole numbers", vertices("i4"), WORKS),
    ("colours of 16 bits", vertices(colour="u2", full_scale=65535), WORKS),
    ("float colours", vertices(colour="f4", full_scale=1), WORKS),
    ("float colours to 255", vertices(colour="f4"), WORKS),
    ("float colours to 300", vertices(colour="f4", red=[300]), "00001.ply: colours from .* to 300; expected 0..1"),
    ("floats of twice as much", vertices(colour="f4", full_scale=1.5), "00001.ply: colours from .* to 1.5; expected"),
    ("signed colours", vertices(colour="i2", red=[-5]), "00001.ply: colours from -5 to 255; expected 0..1 or 0..255"),
    ("a short of colours", vertices(colour="i2"), WORKS),
    ("whole colours of 32 bits", vertices(colour="i4"), WORKS),
    ("extra properties", vertices(extra=EXTRA), WORKS),
    ("extra properties, ascii", vertices(extra=EXTRA, text=True), WORKS),
    ("no z", edited(b"property float z", b"property float w"), f"00001.ply: {NOT_PLY}"),
    ("no vertices", edited(b"element vertex", b"element corner"), f"00001.ply: {NOT_PLY}"),
    ("x twice", edited(b"float y", b"float x"), f"00001.ply: {NOT_PLY}"),
    ("unknown type", edited(b"uchar red", b"half red"), f"00001.ply: {NOT_PLY}"),
    ("negative count", edited(b"vertex 40", b"vertex -4"), f"00001.ply: {NOT_PLY}"),
    ("too high a count", edited(b"vertex 40", b"vertex 9999999999"), f"00001.ply: {NOT_PLY}"),
    ("absurd count", edited(b"vertex 40", b"vertex " + b"9" * 30), f"00001.ply: {NOT_PLY}"),
    ("millimetres", cloud(XYZ * 1e4), "00001.ply: points up to .* m from the origin.*are the clouds in metres"),
    ("huge", cloud(XYZ * 1e38), "00001.ply: points up to .*are the clouds in metres"),
    ("huge doubles", vertices("f8", x=[1e300]), "00001.ply: points up to inf m.*are the clouds in metres"),
    ("missing", lambda path: None, rf"00001.ply: {NOT_PLY} \(no such file\)"),
]
