"""Bad input, case by case: each works, or ends in one line that names the file and the reason, with exit code 2.

Recordings, clouds and lists are read as a sample reads them; command lines, checkpoints and some of each kind go
through the real command in this process, a few through a process of its own.
"""

from __future__ import annotations

import csv
import json
import os
import pickle
import re
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT, write_cloud
from plyfile import PlyData, PlyElement
from test_main import TINY, fails_in_one_line

import main as command
from arguments import build_parser, parse_arguments
from dataset.audio import read_window, recording_length
from dataset.eval_list import describe
from dataset.index import IndexRow, read_index, write_index
from dataset.music import MUSICMixDataset, SourceDraw
from models import build_separation_net
from utils import checkpoint
from utils.errors import InputError, run_command

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
    ("2_ghz.wav", recording(sound(), 2**31 - 1), WORKS),
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
    ("float colours to 255", vertices(colour="f4"), "00001.ply: colours of .* of full scale; floats must lie in 0..1"),
    ("signed colours", vertices(colour="i2", red=[-5]), "00001.ply: colours of -0.000153 to .* of full scale"),
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


@pytest.fixture(scope="module")
def others(data_tree) -> list[IndexRow]:
    """A row of a violin that is as it should be."""
    audio, frames = data_tree / "data" / "audio" / "violin", data_tree / "data" / "frames" / "violin"
    return [IndexRow(str(audio / "r00.mp3"), str(frames / "person_1"), 4, "list.csv:2")]


@pytest.fixture
def row(tmp_path, others) -> IndexRow:
    """A row of a cello in the test's own folder: three frames and no recording yet."""
    (tmp_path / "cello").mkdir()
    for frame in (0, 2):
        write_cloud(tmp_path / "person_1" / f"{frame:05d}.ply", XYZ, RGB)
    return IndexRow(others[0].audio_path, str(tmp_path / "person_1"), 3, "list.csv:1")


def samples(rows: list[IndexRow], rgbs_feature: bool) -> list:
    """What mixtures of evaluation and of training hold, or why they cannot be made; nothing may be warned of."""
    settings = dict(num_samples=2, seed=0, num_mix=2, num_frames=2, stride_frames=1, aud_len=16383, aud_rate=RATE)
    settings |= dict(voxel_size=0.05, rgbs_feature=rgbs_feature)
    with warnings.catch_warnings(action="error"):
        return [MUSICMixDataset(rows, training=training, **settings)[(1, 0)] for training in (False, True)]


def check_samples(found: list, expected: str) -> None:
    for sample in found:
        if expected:
            assert isinstance(sample, InputError), "worked"
            assert re.search(expected, str(sample)) and "list.csv:1" in str(sample), sample
            continue
        assert not isinstance(sample, InputError), sample
        assert np.isfinite(sample.waves).all() and np.abs(sample.waves).max() <= 0.5
        for coordinates, features in (cloud for source in sample.clouds for cloud in source):
            assert len(coordinates) == len(features) > 0 and np.isfinite(features).all()


@pytest.mark.parametrize(("name", "write", "expected"), RECORDINGS, ids=[case[0] for case in RECORDINGS])
def test_recordings(tmp_path, row, others, name, write, expected):
    cloud()(tmp_path / "person_1" / "00001.ply")
    path = tmp_path / "cello" / name
    write(path)
    check_samples(samples([replace(row, audio_path=str(path)), *others], True), expected)


@pytest.mark.parametrize(("name", "write", "expected"), CLOUDS, ids=[case[0] for case in CLOUDS])
def test_clouds(tmp_path, row, others, name, write, expected):
    recording(sound())(tmp_path / "cello" / "a.wav")
    write(tmp_path / "person_1" / "00001.ply")
    row = replace(row, audio_path=str(tmp_path / "cello" / "a.wav"))
    check_samples(samples([row, *others], not name.startswith("depth")), expected)


@pytest.mark.parametrize("suffix", ["mp3", "flac"])
def test_what_is_left_of_a_truncated_recording_is_heard(tmp_path, suffix):
    """Windows within what decodes are right; those beyond are errors, never silence."""
    whole, part = str(tmp_path / f"whole.{suffix}"), tmp_path / f"part.{suffix}"
    wave = sound(12)
    recording(wave)(tmp_path / f"whole.{suffix}")
    shortened(recording(wave), 0.5)(part)
    assert recording_length(str(part), RATE) == recording_length(whole, RATE)  # as the header says
    for start in (0, RATE, 3 * RATE):
        np.testing.assert_allclose(read_window(str(part), start, 8000, RATE), read_window(whole, start, 8000, RATE))
    for start in (7 * RATE, 11 * RATE):
        with pytest.raises(InputError, match=f"part.{suffix}: (cannot be decoded|.* truncated)"):
            read_window(str(part), start, 8000, RATE)


def test_six_channels_are_averaged(tmp_path):
    waves = RNG.uniform(-0.5, 0.5, (RATE, 6))
    recording(waves, subtype="FLOAT")(tmp_path / "a.wav")
    window = read_window(str(tmp_path / "a.wav"), 0, RATE, RATE)
    np.testing.assert_allclose(window, waves.mean(axis=1), atol=1e-6)


# Lists: {row} is a row whose paths have a space and letters beyond ASCII.
LISTS = [
    ("plain", "{row}\n", WORKS),
    ("no line end", "{row}", WORKS),
    ("byte-order mark", "\ufeff{row}\n", WORKS),
    ("CRLF", "{row}\r\n{row}\r\n", WORKS),
    ("CR", "{row}\r{row}\r", WORKS),
    ("quotes", '"{audio}","{frames}","2"\n', WORKS),
    ("blank lines", "\n\n{row}\n   \n\n{row}\n,,\n", WORKS),
    ("spaces", "  {audio} ,\t{frames} , 2 \n", WORKS),
    ("empty", "", "list.csv: the list is empty"),
    ("only a mark", "\ufeff", "list.csv: the list is empty"),
    ("two columns", "{row}\n{audio},{frames}\n", "list.csv:2: .*found 2 column"),
    ("four columns", "{row},4\n", "list.csv:1: .*found 4 column"),
    ("semicolons", "{audio};{frames};2\n", "list.csv:1: .*found 1 column"),
    ("open quote", '"{row}\n{row}\n', "list.csv:2: .*found 1 column"),
    ("a heading", "audio,frames,count\n{row}\n", "list.csv:1: the number of frames is 'count'"),
    ("negative count", "{audio},{frames},-2\n", "list.csv:1: the number of frames is '-2'"),
    ("no count", "{audio},{frames},\n", "list.csv:1: the number of frames is ''"),
    ("count of 0", "{audio},{frames},0\n", "list.csv:1: the number of frames is '0'"),
    ("half a count", "{audio},{frames},1.5\n", "list.csv:1: the number of frames is '1.5'"),
    ("another digit", "{audio},{frames},²\n", "list.csv:1: the number of frames is '²'"),
    (
        "endless count",
        "{audio},{frames}," + "9" * 5000,
        "list.csv:1: the number of frames is '99999999999999999999...'",
    ),
    ("count too high", "{audio},{frames},9\n", "list.csv:1: says 9 frames, but .*00008.ply does not exist"),
    ("no recording", "{audio}.wav,{frames},2\n", "list.csv:1: recording .* does not exist"),
    ("no folder", "{audio},{frames}s,2\n", "list.csv:1: folder .*s does not exist"),
    ("endless path", "{audio}" + "a" * 5000 + ",{frames},2\n", "list.csv:1: recording .* does not exist"),
    ("a NUL", "a\0{audio},{frames},2\n", "list.csv:1: recording .* does not exist"),
    ("endless field", '"' + "x" * 200_000 + '",a,1\n', "list.csv: not a CSV text file"),
    ("UTF-16", "utf-16", "list.csv: not a CSV text file"),
    ("Latin-1", "latin-1", "list.csv: not a CSV text file"),
]


@pytest.mark.parametrize(("name", "text", "expected"), LISTS, ids=[case[0] for case in LISTS])
def test_lists(tmp_path, monkeypatch, name, text, expected):
    monkeypatch.chdir(tmp_path)
    audio, frames = "./my audio/cëllo/Stück 1.wav", "./my frames/Künstler 1"
    (tmp_path / audio).parent.mkdir(parents=True)
    recording(sound(1))(tmp_path / audio)
    for frame in range(2):
        cloud()(tmp_path / frames / f"{frame:05d}.ply")
    line = f"{audio},{frames},2"
    encoding = text if name in ("UTF-16", "Latin-1") else "utf-8"
    text = line if encoding == text else text.format(row=line, audio=audio, frames=frames)
    (tmp_path / "list.csv").write_bytes(text.encode(encoding))
    if expected:
        with pytest.raises(InputError, match=expected) as error:
            read_index("list.csv")
        assert "\n" not in str(error.value)
    else:
        for found in read_index("list.csv"):
            assert (found.audio_path, found.frames_path, found.num_frames) == (audio, frames, 2)
            assert found.instrument == "cëllo"


# Command lines: every option with values out of its range; those that name files come with what is at the path.
OUT_OF_RANGE = {
    "num_mix": ["1", "-1", "two", "2.5", "", "5"],
    "instruments": ["flute"],  # without a label net
    "distinct": ["2", "-1", "yes"],
    "conditioning_report": ["2", "-1", "yes"],
    "arch_sound": ["unet4", ""],
    "arch_vision": ["resnet18"],
    "arch_synthesizer": ["concat"],
    "num_channels": ["0", "-3", "1000000000"],
    "ngf": ["0", "1000000000"],
    "num_frames": ["0", "nan", "5", "9" * 18],
    "stride_frames": ["0", "-1"],
    "frame_pool": ["minpool"],
    "vision_activation": ["gelu"],
    "sound_activation": ["Sigmoid"],
    "output_activation": ["elu", "relu"],
    "binary_mask": ["2", "yes"],
    "mask_thres": ["1.5", "-0.1", "nan"],
    "loss": ["l3", "l1"],
    "weighted_loss": ["-1"],
    "log_freq": ["on"],
    "num_gpus": ["0", "2.5"],
    "amp": ["fp8", "1"],
    "channels_last": ["1", "maybe"],
    "compile": ["2"],
    "grad_checkpoint": ["yes"],
    "accumulate": ["0", "-1"],
    "sync_bn": ["2"],
    "batch_size_per_gpu": ["0", "1e3"],
    "workers": ["-1", "some"],
    "num_val": ["-2", "0"],
    "audLen": ["1", "8192", "-65535", "99999999999999"],
    "audRate": ["0", "-11025", "11025.5", "1000000000"],
    "stft_frame": ["1", "16384", "99999999999"],
    "stft_hop": ["0", "512"],
    "voxel_size": ["0", "-0.02", "inf", "nan", "1000"],
    "rgbs_feature": ["3"],
    "frameRate": ["0", "inf"],
    "mode": ["test"],
    "seed": ["-1", "4294967296"],
    "device": ["tpu"],
    "sparse_backend": ["spconv"],
    "overwrite": ["2"],
    "resume": ["2", "yes"],
    "save_iter": ["-1", "x"],
    "skip_bad_samples": ["-1", "1.5"],
    "disp_iter": ["0"],
    "eval_epoch": ["0"],
    "bss_eval": ["slow"],
    "num_vis": ["-1"],
    "tensorboard": ["2", "yes"],
    "dup_trainset": ["0", "99999999999999999999", "1000000000000000000"],
    "num_epoch": ["0", "-1", "9223372036854775807"],
    "lr_vision": ["-1", "inf"],
    "lr_sound": ["-1", "nan"],
    "lr_synthesizer": ["-1e-9", "fast"],
    "lr_steps": ["0", "1,2"],
    "optimizer": ["lamb"],
    "beta1": ["1", "-0.1"],
    "weight_decay": ["-1"],
    "augment": ["-1", "11"],
}
LONG = "n" * 300
PATHS = [
    ("id", LONG, f"{LONG}.*File name too long"),
    ("ckpt", LONG, f"{LONG}.*File name too long"),
    ("ckpt", "list.csv", "list.csv/bad.*Not a directory"),
    ("list_train", "nowhere.csv", "nowhere.csv: cannot be read"),
    ("list_train", ".", ".: cannot be read .Is a directory"),
    ("list_train", LONG, f"{LONG}: cannot be read .File name too long"),
    ("list_val", "nowhere.csv", "nowhere.csv: cannot be read"),
    ("list_val", "weights.pth", "weights.pth: not a CSV text file"),
    ("eval_list", "nowhere.csv", "nowhere.csv: cannot be read .No such file"),
    ("eval_list", "weights.pth", "weights.pth: not a CSV text file"),
    ("eval_list", "list.csv", "list.csv:2: not a row of an evaluation list"),
    ("cache", "list.csv", "list.csv: cannot be written .not a folder.; .*leave --cache out"),
    ("weights_sound", "nowhere.pth", "nowhere.pth: cannot be read"),
    ("weights_vision", "list.csv", "list.csv: not a whole PyTorch checkpoint"),
    ("weights_synthesizer", ".", ".: cannot be read .Is a directory"),
    ("weights_synthesizer", "weights.pth", "weights.pth: weights of another architecture or size"),
    ("pretrained_vision", "list.csv", "list.csv: not a whole PyTorch checkpoint"),
    ("pretrained_vision", "weights.pth", "weights.pth: expected a pretrained classifier"),
    ("pretrained_vision", "classifier.pth", "classifier.pth: not a sparse ResNet18"),
    ("pretrained_vision", LONG, f"{LONG}.*File name too long"),
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory, others):
    """A folder with a list of two rows, weights that fit nothing, and a run that was evaluated once."""
    root = tmp_path_factory.mktemp("bad")
    recording(sound())(root / "a.wav")
    (root / "cello").mkdir()
    (root / "a.wav").rename(root / "cello" / "a.wav")
    for frame in range(3):
        write_cloud(root / "person_1" / f"{frame:05d}.ply", XYZ, RGB)
    write_index(root / "list.csv", [IndexRow("cello/a.wav", "person_1", 3), *others])
    checkpoint.save({"weight": torch.zeros(3)}, root / "weights.pth")
    checkpoint.save({"state_dict": {1: torch.zeros(3), "conv1.kernel": 3}}, root / "classifier.pth")
    options = parse_arguments([*TINY, "--id", "run"])
    model = build_separation_net(options)
    for net in command.NETS:
        checkpoint.save(getattr(model, net).state_dict(), root / "ckpt" / "run" / f"{net}_best.pth")
    return root


def run_main(monkeypatch, capfd, root, *arguments) -> subprocess.CompletedProcess:
    """`python main.py` with a tiny model, in this process: its exit code and what it printed, decoders included."""
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["main.py", *TINY, "--list_train", "list.csv", "--list_val", "list.csv"])
    sys.argv += ["--num_vis", "1", *map(str, arguments)]
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        run_command(command.main)
    return subprocess.CompletedProcess(sys.argv, end.value.code or 0, *capfd.readouterr())


EVAL = ("--mode", "eval", "--id", "run")
TRAIN = ("--id", "bad", "--dup_trainset", "1", "--num_epoch", "1", "--batch_size_per_gpu", "2")


def files(folder) -> dict:
    """What tells that a file was written again or replaced."""
    found = {path: path.stat() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {path: (state.st_ino, state.st_size, state.st_mtime_ns) for path, state in found.items()}


def fails_and_leaves(result, before: dict, folder, *patterns: str) -> None:
    """One line with all patterns, exit code 2, and every file as it was."""
    fails_in_one_line(result)
    for pattern in patterns:
        assert re.search(pattern, result.stderr), result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    assert files(folder) == before


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in OUT_OF_RANGE for value in OUT_OF_RANGE[name]])
def test_options_out_of_range(tree, monkeypatch, capfd, name, value):
    before = files(tree)
    result = run_main(monkeypatch, capfd, tree, *TRAIN, f"--{name}={value}")
    fails_and_leaves(result, before, tree, rf"--{name}\b", re.escape(value))


@pytest.mark.parametrize(("name", "value", "expected"), PATHS)
def test_options_that_name_other_files(tree, monkeypatch, capfd, name, value, expected):
    before = files(tree)
    result = run_main(monkeypatch, capfd, tree, *TRAIN, f"--{name}={value}")
    fails_and_leaves(result, before, tree, expected)


def test_no_option_is_left_out():
    names = {action.dest for action in build_parser()._actions} - {"help"}
    assert names == set(OUT_OF_RANGE) | {name for name, _, _ in PATHS}


MIXTURES = [
    ("whole", {}, WORKS),
    ("far window", {"window_start_1": 2**40}, WORKS),  # the recording starts over
    ("negative window", {"window_start_1": -5}, "metrics.csv:2: window_start_1 is -5, expected 0 to"),
    ("endless window", {"window_start_2": 10**30}, "metrics.csv:2: window_start_2 is 1000000"),
    ("half a window", {"window_start_2": 1.5}, "metrics.csv:2: not a row of an evaluation list"),
    ("negative frame", {"frames_1": "-1"}, "person_1/-0001.ply: .*no such file"),
    ("missing frame", {"frames_1": "7"}, "person_1/00007.ply: .*no such file"),
    ("two frames", {"frames_1": "1 2"}, r"error: \S*metrics.csv:2: frames_1 holds 2 frame\(s\), but --num_frames is 1"),
    ("no frame", {"frames_1": ""}, "metrics.csv:2: frames_1 holds 0 frame"),
    ("missing recording", {"audio_1": "cello/b.wav"}, "cello/b.wav: .*no such file.*metrics.csv:2"),
    ("another window", {"window_samples": 99}, r"error: \S*metrics.csv:2: window_samples is 99, but --audLen is 8191"),
    ("more sources", {"num_sources": 3}, r"error: \S*metrics.csv:2: num_sources is 3, but --num_mix is 2"),
]


@pytest.mark.parametrize(("name", "change", "expected"), MIXTURES, ids=[case[0] for case in MIXTURES])
def test_evaluation_lists(tree, tmp_path, monkeypatch, capfd, others, name, change, expected):
    draws = [SourceDraw(IndexRow("cello/a.wav", "person_1", 3), 5, (1,)), SourceDraw(others[0], 5, (1,))]
    row = describe(draws, 8191, RATE) | change
    with open(tmp_path / "metrics.csv", "w", newline="") as file:
        csv.writer(file).writerows([row.keys(), row.values()])
    before = files(tree)
    result = run_main(monkeypatch, capfd, tree, *EVAL, "--eval_list", tmp_path / "metrics.csv", "--num_vis", "0")
    if expected:
        fails_and_leaves(result, before, tree, expected)
    else:
        assert result.returncode == 0 and result.stderr == "", result.stderr


# Checkpoints and the configuration of a run: what stands at sound_best.pth or config.json.


class RunsCode:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("code_ran",))


def saved(content):
    return lambda path, good: torch.save(content, path)


def wider(path, good):
    """The sound net of a model with 5 channels, not 4."""
    checkpoint.save(build_separation_net(parse_arguments([*TINY, "--num_channels", "5"])).sound.state_dict(), path)


def diverged(path, good):
    weights = torch.load(path, weights_only=True)
    weights["bn0.weight"] *= np.nan
    checkpoint.save(weights, path)


NO_CHECKPOINT = "sound_best.pth: not a whole PyTorch checkpoint of plain weights"
CODE = rf"{NO_CHECKPOINT} \(it wants posix.mkdir to be run, and no code is\)"
CHECKPOINTS = [
    ("truncated", "sound_best.pth", lambda path, good: path.write_bytes(good[:-500]), NO_CHECKPOINT),
    ("a tenth", "sound_best.pth", lambda path, good: path.write_bytes(good[: len(good) // 10]), NO_CHECKPOINT),
    ("zero", "sound_best.pth", lambda path, good: path.write_bytes(b""), NO_CHECKPOINT),
    ("text", "sound_best.pth", lambda path, good: path.write_text("weights\n"), NO_CHECKPOINT),
    ("missing", "sound_best.pth", lambda path, good: path.unlink(), "sound_best.pth: cannot be read"),
    ("code", "sound_best.pth", lambda path, good: path.write_bytes(pickle.dumps(RunsCode(), 2)), CODE),
    ("code of today", "sound_best.pth", lambda path, good: path.write_bytes(pickle.dumps(RunsCode())), NO_CHECKPOINT),
    ("code in a zip file", "sound_best.pth", saved({"bn0.weight": RunsCode()}), CODE),
    ("a whole net", "sound_best.pth", saved(torch.nn.Linear(2, 2)), f"{NO_CHECKPOINT} .it wants torch.nn"),
    ("a list", "sound_best.pth", saved([1, 2]), "sound_best.pth: expected a dictionary of weights, found list"),
    ("numbers", "sound_best.pth", saved({"bn0.weight": 3}), "sound_best.pth: .*bn0.weight is .*expected .1."),
    ("more channels", "sound_best.pth", wider, r"sound_best.pth: weights of another .* is \[5.*expected \[4"),
    ("another net", "sound_best.pth", saved({"scale": torch.zeros(4)}), "sound_best.pth: .*no bn0.weight"),
    ("diverged", "sound_best.pth", diverged, "sound_best.pth: bn0.weight holds NaN"),
    ("no JSON", "config.json", lambda path, good: path.write_text("{"), "config.json: not valid JSON"),
    ("nested", "config.json", lambda path, good: path.write_text("[" * 10**5), "config.json: not valid JSON"),
    ("binary", "config.json", lambda path, good: path.write_bytes(bytes(range(256))), "config.json: not valid JSON"),
    ("a number", "config.json", lambda path, good: path.write_text("3"), "config.json: expected a JSON object"),
    (
        "wrong values",
        "config.json",
        lambda path, good: path.write_text('{"options": {"ngf": -1}}'),
        "config.json: .*--ngf: expected a whole number",
    ),
]


@pytest.fixture(scope="module")
def evaluated(tree):
    """The tree's run with scores and a picture of an earlier evaluation."""
    (tree / "ckpt" / "run" / "metrics.json").write_text("{}")
    folder = tree / "ckpt" / "run" / "visualization" / "0000_earlier"
    folder.mkdir(parents=True)
    (folder / "mix.jpg").write_bytes(b"a picture")
    return tree


@pytest.mark.parametrize(
    ("name", "file", "write", "expected"), CHECKPOINTS, ids=[f"{case[1]} {case[0]}" for case in CHECKPOINTS]
)
def test_checkpoints(evaluated, monkeypatch, capfd, name, file, write, expected):
    path = evaluated / "ckpt" / "run" / file
    good = path.read_bytes() if path.exists() else None
    try:
        write(path, good)
        before = files(evaluated)
        result = run_main(monkeypatch, capfd, evaluated, *EVAL)
        fails_and_leaves(result, before, evaluated, expected)
        assert not (evaluated / "code_ran").exists() and "\x1b" not in result.stderr
    finally:
        path.unlink(missing_ok=True)
        if good is not None:
            path.write_bytes(good)


# Some of each kind, from the list to the scores.
EVALUATIONS = [
    ("truncated.mp3", None),
    ("nan.wav", None),
    ("silent.wav", None),
    ("6_channels.wav", None),
    ("one_second.mp3", None),
    (None, "truncated"),
    (None, "one point"),
    (None, "no colours"),
    (None, "huge"),
]


@pytest.mark.parametrize(("audio", "ply"), EVALUATIONS, ids=[audio or ply for audio, ply in EVALUATIONS])
def test_evaluation(evaluated, tmp_path, monkeypatch, capfd, row, others, audio, ply):
    """The unreadable row comes last: what was drawn for those before it must not replace the earlier pictures."""
    write_audio, audio_fails = {name: case for name, *case in RECORDINGS}[audio or "one_second.wav"]
    write_ply, ply_fails = {name: case for name, *case in CLOUDS}[ply or "whole"]
    path = tmp_path / "cello" / (audio or "a.wav")
    write_audio(path)
    write_ply(tmp_path / "person_1" / "00001.ply")
    write_ply(tmp_path / "person_1" / "00002.ply")
    good = IndexRow("cello/a.wav", "person_1", 3)
    write_index(tmp_path / "list.csv", [good, *others, replace(row, audio_path=str(path))])
    before, run = files(evaluated), evaluated / "ckpt" / "run"
    options = ["--list_val", tmp_path / "list.csv", "--batch_size_per_gpu", "1", "--rgbs_feature", "1"]
    result = run_main(monkeypatch, capfd, evaluated, *EVAL, *options)
    if audio_fails or ply_fails:
        fails_and_leaves(result, before, evaluated, audio_fails, ply_fails.replace("00001", "0000[12]"), "list.csv:3")
        return
    assert result.returncode == 0 and result.stderr == "", result.stderr
    summary = json.loads((run / "metrics.json").read_text())
    silent = audio == "silent.wav"
    assert (summary["n_mixtures"], len(summary["unscored"])) == (3, 1 if silent else 0)
    assert np.isfinite([summary[name] for name in ("loss", "sdr", "sir", "sar", "sdr_mixture", "si_sdr")]).all()
    assert [folder.name[:5] for folder in (run / "visualization").iterdir()] == ["0000_"]
    assert not (run / "visualization" / "0000_earlier").exists() and not list(run.glob(".visualization*"))


EDGES = [
    ["--audLen", "31", "--stft_frame", "2", "--stft_hop", "1"],
    ["--audRate", "1"],
    ["--audRate", "384000", "--num_val", "99999999"],
    ["--voxel_size", "100", "--batch_size_per_gpu", "999999999"],
    ["--stft_frame", "1023", "--seed", "4294967295"],
]


@pytest.mark.parametrize("options", EDGES, ids=" ".join)
def test_the_ends_of_ranges_work(evaluated, monkeypatch, capfd, options):
    result = run_main(monkeypatch, capfd, evaluated, *EVAL, *options)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    summary = json.loads((evaluated / "ckpt" / "run" / "metrics.json").read_text())
    assert summary["n_scored"] == 2 and np.isfinite([summary["loss"], summary["sdr"]]).all()


def test_single_voxels_train(evaluated, tmp_path, monkeypatch, capfd, others):
    """Batch normalisation needs two values a channel: two clouds of one voxel each are just enough."""
    write_cloud(tmp_path / "p" / "00000.ply", XYZ[:1], RGB[:1])
    audio = str(evaluated / "cello" / "a.wav")
    write_index(
        tmp_path / "list.csv",
        [IndexRow(audio, str(tmp_path / "p"), 1), replace(others[0], frames_path=str(tmp_path / "p"), num_frames=1)],
    )
    options = ["--list_train", tmp_path / "list.csv", "--list_val", tmp_path / "list.csv", "--id", "voxels"]
    result = run_main(monkeypatch, capfd, evaluated, *TRAIN, *options, "--num_val", "1")
    assert result.returncode == 0 and result.stderr == "", result.stderr
    (run,) = (evaluated / "ckpt").glob("voxels-*")
    assert np.isfinite(torch.load(run / "history_latest.pth", weights_only=True)["train"]["loss"]).all()


def process(root, *arguments):
    command_line = [sys.executable, str(ROOT / "main.py"), *TINY, "--list_val", "list.csv", *map(str, arguments)]
    return subprocess.run(command_line, cwd=root, capture_output=True, text=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_in_a_process_of_its_own(evaluated, tmp_path, row, others, workers):
    """With and without workers: a recording in them that cannot be read."""
    path = tmp_path / "cello" / "text.mp3"
    path.write_text("no sound\n" * 99)
    cloud()(tmp_path / "person_1" / "00001.ply")
    write_index(tmp_path / "list.csv", [*others, replace(row, audio_path=str(path))])
    before = files(evaluated)
    result = process(evaluated, *EVAL, "--list_val", tmp_path / "list.csv", "--workers", workers)
    fails_and_leaves(result, before, evaluated, "text.mp3: cannot be read as audio", "list.csv:2")


def test_code_in_a_process_of_its_own(evaluated, tmp_path):
    (tmp_path / "code.pth").write_bytes(pickle.dumps(RunsCode()))
    before = files(evaluated)
    result = process(evaluated, *EVAL, "--weights_vision", tmp_path / "code.pth")
    fails_and_leaves(result, before, evaluated, "code.pth: not a whole PyTorch checkpoint")
    assert not (evaluated / "code_ran").exists()
