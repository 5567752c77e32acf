"""The cache: equal to the files, fresh, whole, shared by many processes; and the script that fills it."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import build_cache
import numpy as np
import pytest
import soundfile
from conftest import ROOT, write_cloud
from plyfile import PlyData, PlyElement
from test_audio import FORMATS, tone
from test_music import contents, dataset, loader

from dataset import audio, cache, points
from dataset.audio import read_window, recording_length
from dataset.cache import Cache
from dataset.index import IndexRow, write_index
from dataset.points import read_cloud, read_points
from dataset.settings import VoxelSettings
from utils.errors import InputError, WriteError

RATE = 11025
RNG = np.random.default_rng(0)
XYZ = RNG.uniform(-1, 1, (500, 3)).astype(np.float32)
RGB = RNG.integers(0, 256, (500, 3))


def entries(folder: Path) -> list[Path]:
    """Every file of a cache, temporary ones too."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(3.0), RATE, subtype="FLOAT")
    return str(path)


@pytest.fixture
def cloud(tmp_path):
    write_cloud(tmp_path / "a.ply", XYZ, RGB)
    return str(tmp_path / "a.ply")


def alike(a, b):
    """Equal draws and clouds, and waveforms as equal as windows of an mp3 are."""
    clouds = [(x, y) for n, m in zip(a.clouds, b.clouds, strict=True) for x, y in zip(n, m, strict=True)]
    equal = all(np.array_equal(x[0], y[0]) and np.array_equal(x[1], y[1]) for x, y in clouds)
    return equal and a.draws == b.draws and np.abs(a.waves - b.waves).max() < 1e-5


def closed(*_):
    raise AssertionError("a file was read that the cache holds")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("rate", [RATE, 44100])
def test_windows_equal_those_of_the_file(tmp_path, monkeypatch, suffix, rate):
    monkeypatch.setattr(cache, "BLOCK", 10_007)  # an entry is made of several blocks
    path = str(tmp_path / f"a.{suffix}")
    soundfile.write(path, tone(5.0, rate, 2), rate, subtype=FORMATS[suffix])
    kept = Cache(tmp_path / "cache")
    length = kept.recording_length(path, RATE)
    assert length == recording_length(path, RATE)
    windows = [
        (0, 3000),
        (1, 20_000),
        (12_345, 7),
        (length - 3000, 3000),
        (length - 10, 3000),
        (length - 5, 2 * length),
    ]
    expected = [read_window(path, *window, RATE) for window in windows]
    monkeypatch.setattr(soundfile, "SoundFile", closed)
    tolerance = 1e-3 if rate != RATE else 1e-5 if suffix in ("mp3", "ogg") else 0
    for window, wave in zip(windows, expected, strict=True):
        found = kept.read_window(path, *window, RATE)
        assert found.dtype == np.float32 and found.flags.writeable
        np.testing.assert_allclose(found, wave, atol=tolerance)


def clouds_of_every_kind(folder: Path) -> list[str]:
    write_cloud(folder / "bytes.ply", XYZ, RGB)
    write_cloud(folder / "text.ply", XYZ, RGB, text=True)
    write_cloud(folder / "big.ply", XYZ, RGB, byte_order=">")
    write_cloud(folder / "plain.ply", XYZ)
    holes = XYZ.copy()
    holes[7, 1] = np.nan
    write_cloud(folder / "holes.ply", holes, RGB)
    for name, kind in (("short", "ushort"), ("real", "double")):
        types = ["<f4"] * 3 + [{"ushort": ">u2", "double": ">f8"}[kind]] * 3
        vertices = np.zeros(len(XYZ), dtype=list(zip(["x", "y", "z", "red", "green", "blue"], types, strict=True)))
        for n, axis in enumerate("xyz"):
            vertices[axis] = XYZ[:, n]
        vertices["green"] = RGB[:, 1] / (255 if name == "real" else 1)
        PlyData([PlyElement.describe(vertices, "vertex")], byte_order=">").write(folder / f"{name}.ply")
    return sorted(map(str, folder.glob("*.ply")))


def test_clouds_equal_those_of_the_files(tmp_path, monkeypatch):
    paths = clouds_of_every_kind(tmp_path)
    kept = Cache(tmp_path / "cache")
    expected = [read_points(path) for path in paths]
    for path in paths:
        kept.read_points(path)
    monkeypatch.setattr(cache, "read_points", closed)
    for path, (xyz, rgb) in zip(paths, expected, strict=True):
        found_xyz, found_rgb = kept.read_points(path)
        np.testing.assert_array_equal(found_xyz, xyz)
        assert found_xyz.dtype == np.float32
        if rgb is None:
            assert found_rgb is None
        else:
            np.testing.assert_array_equal(found_rgb, rgb)
            assert found_rgb.dtype == rgb.dtype


def test_without_a_folder_nothing_is_kept(tmp_path, recording, cloud, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = entries(tmp_path)
    for off in (Cache(), Cache("")):
        np.testing.assert_array_equal(off.read_window(recording, 5, 500, RATE), read_window(recording, 5, 500, RATE))
        assert off.recording_length(recording, RATE) == 3 * RATE and len(off.read_points(cloud)[0]) == 500
    assert entries(tmp_path) == before


def test_samples_are_the_same(rows, tmp_path):
    for options in ({}, {"training": False, "voxels": VoxelSettings(0.05, colours=False)}):
        plain, kept = dataset(rows, **options), dataset(rows, **options, cache=str(tmp_path))
        for key in ((1, 0), (1, 7), (2, 7), (1, 0)):
            assert alike(plain[key], kept[key])
    assert entries(tmp_path)


def test_workers_share_it(rows, tmp_path):
    alone, helped = loader(dataset(rows)), loader(dataset(rows, cache=str(tmp_path)), workers=2)
    for (i, x), (j, y) in zip(contents(alone), contents(helped), strict=True):
        assert i == j and (x - y).abs().max() < 1e-5


def test_a_source_that_changes_is_read_again(tmp_path, recording, cloud):
    kept = Cache(tmp_path / "cache")
    kept.recording_length(recording, RATE), kept.recording_length(recording, 8000), kept.read_points(cloud)
    assert len(entries(tmp_path / "cache")) == 3  # the rates have one each

    time_ns = os.stat(recording).st_mtime_ns
    soundfile.write(recording, -tone(3.0), RATE, subtype="FLOAT")  # as long as before
    os.utime(recording, ns=(time_ns, time_ns + 1))
    np.testing.assert_array_equal(kept.read_window(recording, 0, 100, RATE), -tone(3.0)[:100, 0])
    soundfile.write(recording, tone(2.0), RATE, subtype="FLOAT")
    os.utime(recording, ns=(time_ns, time_ns + 1))  # the time stays, the size does not
    assert kept.recording_length(recording, RATE) == 2 * RATE
    write_cloud(Path(cloud), XYZ[:100], RGB[:100])
    assert len(kept.read_points(cloud)[0]) == 100
    kept.recording_length(recording, 8000)
    assert len(entries(tmp_path / "cache")) == 3  # the old ones are gone


def test_a_source_that_goes_is_missed(tmp_path, recording):
    kept = Cache(tmp_path / "cache")
    kept.recording_length(recording, RATE)
    os.unlink(recording)
    with pytest.raises(InputError, match=r"a\.wav: cannot be read \(no such file"):
        kept.recording_length(recording, RATE)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:50],
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data + b"more",
        lambda data: bytes(len(data)),
        lambda data: os.urandom(len(data)),
        lambda data: b"[]".ljust(128),
        lambda data: b'[["xyz", "<f4", null]]'.ljust(128) + data[128:],
    ],
)
def test_damaged_entries_are_made_again(tmp_path, recording, cloud, damage):
    kept = Cache(tmp_path / "cache")
    kept.recording_length(recording, RATE), kept.read_points(cloud)
    whole = {path: path.read_bytes() for path in entries(tmp_path / "cache")}
    for path, data in whole.items():
        path.write_bytes(damage(data))
    np.testing.assert_array_equal(kept.read_window(recording, 9, 999, RATE), tone(3.0)[9:1008, 0])
    np.testing.assert_array_equal(kept.read_points(cloud)[0], XYZ)
    assert {path: path.read_bytes() for path in entries(tmp_path / "cache")} == whole


USED_TOGETHER = """
import hashlib, os, sys, time
from dataset.cache import Cache
kept, go, paths = Cache(sys.argv[1]), sys.argv[2], sys.argv[3:]
print("ready", flush=True)
while not os.path.exists(go):
    time.sleep(0.001)
for path in paths:
    found = kept.read_points(path)[1] if path.endswith(".ply") else kept.read_window(path, 100, 1000, 11025)
    print(hashlib.sha256(found.tobytes()).hexdigest())
"""


def test_many_processes_at_once(tmp_path):
    paths = []
    for k in range(4):
        paths += [str(tmp_path / f"{k}.wav"), str(tmp_path / f"{k}.ply")]
        soundfile.write(paths[-2], tone(60.0, seed=k), RATE, subtype="FLOAT")
        write_cloud(Path(paths[-1]), XYZ, (RGB + k) % 256)
    command = [sys.executable, "-c", USED_TOGETHER, tmp_path / "cache", tmp_path / "go", *paths]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    (tmp_path / "go").touch()
    found = [process.communicate(timeout=60)[0].split() for process in processes]
    assert all(process.returncode == 0 for process in processes)
    read = [read_points(p)[1] if p.endswith(".ply") else read_window(p, 100, 1000, RATE) for p in paths]
    assert found == 4 * [[hashlib.sha256(array.tobytes()).hexdigest() for array in read]]
    assert len(entries(tmp_path / "cache")) == 8  # one each, and nothing temporary


def test_an_unreadable_source_leaves_nothing(tmp_path, recording, cloud, monkeypatch):
    kept = Cache(tmp_path / "cache")
    Path(recording).write_bytes(b"not audio")
    Path(cloud).write_bytes(b"not a cloud")
    with pytest.raises(InputError, match=r"a\.wav: cannot be read as audio"):
        kept.read_window(recording, 0, 10, RATE)
    with pytest.raises(InputError, match=r"a\.ply: cannot be read as a PLY"):
        kept.read_points(cloud)
    wave = tone(3.0)
    wave[-1] = np.nan  # found in the last block alone
    soundfile.write(recording, wave, RATE, subtype="FLOAT")
    monkeypatch.setattr(cache, "BLOCK", 1000)
    with pytest.raises(InputError, match="NaN"):
        kept.read_window(recording, 0, 10, RATE)
    assert not entries(tmp_path / "cache")


KILLED = """
import os, signal, sys
from dataset import audio, cache
read = audio.Recording.read
def read_or_die(recording, start, *rest, **named):
    if start:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(recording, start, *rest, **named)
cache.BLOCK, audio.Recording.read = 10_000, read_or_die
cache.Cache(sys.argv[1]).recording_length(sys.argv[2], 11025)
"""


def test_a_killed_writer_leaves_no_entry(tmp_path, recording):
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "cache", recording], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert all(path.name.startswith(".") for path in entries(tmp_path / "cache"))
    np.testing.assert_array_equal(Cache(tmp_path / "cache").read_window(recording, 0, 99, RATE), tone(3.0)[:99, 0])


def test_a_full_disk_is_one_line_that_blames_no_row(tmp_path, rows):
    kept = dataset(rows, cache=str(tmp_path / "cache"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))  # a write beyond fails as on a full disk
    try:
        result = kept[(1, 0)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert isinstance(result, WriteError) and "\n" not in str(result)
    assert "cannot be written (File too large); the cache needs room there, or leave --cache out" in str(result)
    assert "train.csv" not in str(result)
    assert not entries(tmp_path / "cache")


def test_a_folder_that_cannot_be_written(tmp_path, recording):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match="cannot be written.*leave --cache out"):
        Cache(tmp_path / "file").recording_length(recording, RATE)


def test_memory_does_not_grow_with_the_recording(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "BLOCK", 2**17)
    peaks = []
    for minutes in (1, 10):
        path = str(tmp_path / f"{minutes}.wav")
        soundfile.write(path, np.tile(tone(60.0), (minutes, 1)), RATE, subtype="PCM_16")
        kept = Cache(tmp_path / "cache")
        for _ in ("made", "used"):
            tracemalloc.start()
            kept.read_window(path, 1000, 65_535, RATE)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    (made_short, used_short, made_long, used_long) = peaks
    assert made_long < 1.1 * made_short and used_long < 1.1 * used_short


def script(*arguments):
    command = [sys.executable, ROOT / "scripts" / "build_cache.py", *arguments]
    return subprocess.run([*map(str, command)], capture_output=True, text=True)


@pytest.fixture
def lists(rows, tmp_path):
    write_index(tmp_path / "one.csv", rows[:6])
    write_index(tmp_path / "two.csv", rows[4:])
    return ["--list", tmp_path / "one.csv", "--list", tmp_path / "two.csv", "--cache", tmp_path / "cache"]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_script_fills_it(rows, lists, tmp_path, monkeypatch, workers):
    result = script(*lists, "--workers", workers)
    assert result.returncode == 0 and not result.stderr, result.stderr
    assert "recordings [12/12]" in result.stdout and "clouds [48/48]" in result.stdout
    assert "12 recordings, 48 clouds, 0 unreadable" in result.stdout
    before = entries(tmp_path / "cache")
    assert len(before) == 12 + 48
    expected = [dataset(rows)[(1, index)] for index in range(12)]
    monkeypatch.setattr(audio, "open_recording", closed)
    monkeypatch.setattr(cache, "read_points", closed)
    full = dataset(rows, cache=str(tmp_path / "cache"))
    assert all(alike(full[(1, index)], sample) for index, sample in enumerate(expected))
    assert entries(tmp_path / "cache") == before


def test_the_script_for_recordings_alone_at_another_rate(lists, tmp_path):
    result = script(*lists, "--clouds", "0", "--audRate", "8000", "--workers", "1")
    assert result.returncode == 0 and "12 recordings, 0 unreadable" in result.stdout
    assert {path.parent.parent.name for path in entries(tmp_path / "cache")} == {"audio-8000"}


def test_the_script_lists_what_cannot_be_read(rows, tmp_path):
    folder = tmp_path / "cello"
    folder.mkdir()
    (folder / "broken.mp3").write_bytes(b"not audio")
    write_cloud(folder / "00000.ply", XYZ, RGB)
    (folder / "00001.ply").write_bytes(b"not a cloud")
    write_cloud(folder / "00003.ply", XYZ, RGB)  # and 00002.ply is missing
    write_index(tmp_path / "list.csv", [rows[0], IndexRow(str(folder / "broken.mp3"), str(folder), 4)])
    result = script("--list", tmp_path / "list.csv", "--cache", tmp_path / "cache", "--workers", "2")
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 3 and "Traceback" not in result.stderr
    for line, name in zip(lines, ("broken.mp3", "00001.ply", "00002.ply"), strict=True):
        assert line.startswith(str(folder / name)) and "cannot be read" in line
    assert "2 recordings, 8 clouds, 3 unreadable" in result.stdout
    assert len(entries(tmp_path / "cache")) == 1 + 4 + 2  # the rest is there


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cache", "c"], "--list"),
        (["--list", "nowhere.csv", "--cache", "c"], "nowhere.csv: cannot be read"),
        (["--list", "nowhere.csv", "--cache", "c", "--clouds", "2"], "--clouds"),
        (["--list", "nowhere.csv"], "--cache"),
    ],
)
def test_wrong_options_of_the_script(arguments, message):
    result = script(*arguments)
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and message in result.stderr


def test_the_script_stops_where_it_cannot_write(lists, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    result = script(*lists, "--workers", "2")
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "cannot be written" in result.stderr


def test_paths_are_listed_once(rows):
    assert len(build_cache.recordings(rows * 3)) == 12 and len(build_cache.clouds(rows * 3)) == 48


def test_a_cloud_in_unit_colours_is_the_same_either_way(tmp_path, cloud):
    raw = Cache(tmp_path / "cache").read_points(cloud)[1]
    np.testing.assert_array_equal(points.to_unit(raw), read_cloud(cloud)[1])
