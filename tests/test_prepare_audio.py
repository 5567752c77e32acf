"""Mono waveforms from any audio or video: aligned to the sample, whole or not there, every bad file in its line."""

from __future__ import annotations

import resource
import subprocess
import sys

import numpy as np
import prepare_audio
import pytest
import soundfile
from conftest import ROOT
from media_files import RATE, SECONDS, extracted, run, sound, write_media

from dataset.audio import read_window, recording_length
from dataset.extract import write_mono
from utils.errors import InputError, WriteError


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_U8", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize(("rate", "channels"), [(48000, 2), (44100, 1), (22050, 6), (11025, 2), (8000, 1)])
def test_blocks_are_the_recording_as_it_is_read(tmp_path, rate, channels, subtype):
    path = str(tmp_path / "a.wav")
    soundfile.write(path, sound(rate, channels), rate, subtype=subtype)
    length = recording_length(path, RATE)
    wave = extracted(path)
    assert wave.dtype == np.float32 and 0 <= length - len(wave) <= 1
    np.testing.assert_allclose(wave, read_window(path, 0, len(wave), RATE), atol=1e-6)


@pytest.mark.parametrize("ending", ["flac", "ogg", "mp3"])
def test_formats_that_soundfile_reads(tmp_path, ending):
    path = str(tmp_path / f"a.{ending}")
    soundfile.write(path, sound(44100), 44100)
    wave = extracted(path)
    assert abs(recording_length(path, RATE) - len(wave)) <= 1
    np.testing.assert_allclose(wave, read_window(path, 0, len(wave), RATE), atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"video": False}, {"codec": "libmp3lame"}], ids=str)
@pytest.mark.parametrize("ending", ["mp4", "mkv", "m4a"])
def test_videos(tmp_path, ending, options):
    if ending == "m4a":
        options = {**options, "video": False, "codec": "aac"}
    write_media(tmp_path / f"a.{ending}", **options)
    soundfile.write(tmp_path / "true.wav", sound(44100), 44100)
    wave = extracted(tmp_path / f"a.{ending}")
    length = SECONDS * RATE
    assert length <= len(wave) <= length + 0.1 * RATE  # coders fill their last frame
    true = read_window(str(tmp_path / "true.wav"), 0, length, RATE)
    assert np.corrcoef(wave[:length], true)[0, 1] > 0.99
    assert np.corrcoef(wave[1:length], true[:-1])[0, 1] < np.corrcoef(wave[:length], true)[0, 1]


def test_memory_does_not_grow_with_the_length(tmp_path):
    """Ten minutes would take 212 MB as stereo floats."""
    soundfile.write(tmp_path / "a.flac", np.tile(sound(44100, seconds=10), (60, 1)), 44100)
    code = (
        "import resource, sys; from pathlib import Path; from dataset.extract import write_mono\n"
        "used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        f"before = used(); write_mono('a.flac', Path('b.flac'), {RATE}); print(used() - before)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 50
    assert soundfile.info(tmp_path / "b.flac").duration == pytest.approx(600, abs=0.1)


@pytest.mark.parametrize("ending", ["flac", "wav", "mp3", "ogg"])
def test_long_recordings_at_a_higher_rate(tmp_path, ending):
    """A block of them, encoded at once, would be too large for libsndfile's Vorbis."""
    soundfile.write(tmp_path / "a.wav", sound(8000, 1, seconds=100), 8000)
    write_mono(str(tmp_path / "a.wav"), tmp_path / f"b.{ending}", 48000)
    assert soundfile.info(tmp_path / f"b.{ending}").duration == pytest.approx(100, abs=0.1)


@pytest.mark.parametrize("ending", ["flac", "wav", "mp3", "ogg"])
def test_command(tmp_path, monkeypatch, capfd, ending):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    soundfile.write(tmp_path / "in" / "one.wav", sound(48000), 48000)
    write_media(tmp_path / "in" / "deep" / "two, 音.mp4")
    (tmp_path / "in" / "one.jpg").write_text("a thumbnail")
    (tmp_path / "in" / "one.txt").write_text("words")
    (tmp_path / "in" / ".one.flac").write_text("hidden")
    output = tmp_path / "in" / "out"  # below the input: not read again by the second run
    for expected in ("2 written, 0 there before, 0 unreadable", "0 written, 2 there before, 0 unreadable"):
        assert run(monkeypatch, tmp_path / "in", "--output", output, "--format", ending) == 0
        out, err = capfd.readouterr()
        assert expected in out and err == ""
    assert sorted(path.name for path in output.iterdir()) == [f"one.{ending}", f"two, 音.{ending}"]
    for path in output.iterdir():
        info = soundfile.info(path)
        assert (info.samplerate, info.channels) == (RATE, 1)
    true = read_window(str(tmp_path / "in" / "one.wav"), 0, SECONDS * RATE, RATE)
    wave = read_window(str(output / f"one.{ending}"), 0, SECONDS * RATE, RATE)
    if ending in ("flac", "wav"):
        np.testing.assert_allclose(wave, true, atol=1e-4)
    else:
        assert np.corrcoef(wave, true)[0, 1] > 0.99


def shortened(path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def truncated(path) -> None:
    if path.suffix in (".mp4", ".mkv"):
        write_media(path)
    else:
        soundfile.write(path, sound(44100), 44100)
    shortened(path, 0.5)


def not_finite(path) -> None:
    wave = sound(48000)
    wave[500, 1] = np.inf
    soundfile.write(path, wave, 48000, subtype="FLOAT")


def playlist(path) -> None:
    soundfile.write(path.with_name("a.wav"), sound(8000), 8000)
    path.write_text(f"ffconcat version 1.0\nfile a.wav\nfile {path.with_name('a.wav')}\n")


NO_MEDIA = r"cannot be read as audio"
BAD = [
    ("video.mp4", lambda path: write_media(path, audio=False), "holds no sound"),
    ("picture.bin", lambda path: path.write_bytes(b"\xff\xd8\xff\xe0" * 100), "holds no sound"),
    ("nothing.wav", lambda path: soundfile.write(path, sound(8000)[:0], 8000), "holds no samples"),
    ("zero.mp3", lambda path: path.write_bytes(b""), rf"{NO_MEDIA} \(the file is empty\)"),
    ("text.mp3", lambda path: path.write_text("no sound\n" * 99), NO_MEDIA),
    ("bytes.wav", lambda path: path.write_bytes(bytes(range(256)) * 99), NO_MEDIA),
    ("truncated.flac", truncated, "cannot be decoded"),
    ("truncated.mp3", truncated, r"ends before the \d+ samples .* truncated"),
    ("truncated.mp4", truncated, NO_MEDIA),
    ("truncated.mkv", truncated, r"ends after .* truncated"),
    ("infinite.wav", not_finite, "holds NaN or infinite samples"),
    ("list.ffconcat", playlist, NO_MEDIA),
    ("missing.wav", lambda path: None, rf"{NO_MEDIA} \(no such file\)"),
    ("folder.wav", lambda path: path.mkdir(), NO_MEDIA),
]


@pytest.mark.parametrize(("name", "write", "expected"), BAD, ids=[case[0] for case in BAD])
def test_bad_files(tmp_path, capfd, name, write, expected):
    write(tmp_path / name)
    with pytest.raises(InputError, match=expected) as caught:
        write_mono(str(tmp_path / name), tmp_path / "out" / "a.flac", RATE)
    assert str(caught.value).startswith(str(tmp_path / name)) and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    assert capfd.readouterr() == ("", "")


def test_truncated_wav_is_taken_as_far_as_it_goes(tmp_path):
    """As `dataset.audio` takes it."""
    truncated(tmp_path / "a.wav")
    write_mono(str(tmp_path / "a.wav"), tmp_path / "b.wav", RATE)
    assert soundfile.info(tmp_path / "b.wav").duration == pytest.approx(SECONDS / 2, abs=0.01)


def test_bad_files_are_listed_and_the_good_ones_written(tmp_path, monkeypatch, capfd):
    (tmp_path / "a.mp3").write_text("no sound\n" * 99)
    truncated(tmp_path / "b.mkv")
    soundfile.write(tmp_path / "c.wav", sound(8000), 8000)
    assert run(monkeypatch, tmp_path, "--output", tmp_path / "out") == 2
    out, err = capfd.readouterr()
    assert "1 written, 0 there before, 2 unreadable" in out
    first, second = err.splitlines()
    assert first.startswith(f"{tmp_path}/a.mp3: cannot be read") and second.startswith(f"{tmp_path}/b.mkv: ends after")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c.flac"]


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch, capfd):
    for name in "abc":
        soundfile.write(tmp_path / f"{name}.wav", sound(8000), 8000)
    of_a = tmp_path / "out" / "a.flac"

    def stop_at_second_file(source, target, rate_hz):
        if target.stem == "b":
            raise KeyboardInterrupt
        write_mono(source, target, rate_hz)

    with monkeypatch.context() as patch:
        patch.setattr(prepare_audio, "write_mono", stop_at_second_file)
        assert run(patch, tmp_path, "--output", tmp_path / "out") == 130
    assert list((tmp_path / "out").iterdir()) == [of_a]
    before = of_a.stat().st_mtime_ns
    assert run(monkeypatch, tmp_path, "--output", tmp_path / "out") == 0
    assert "2 written, 1 there before" in capfd.readouterr().out
    assert len(list((tmp_path / "out").iterdir())) == 3 and of_a.stat().st_mtime_ns == before


def test_workers(tmp_path):
    for n in range(3):
        soundfile.write(tmp_path / f"{n}.wav", sound(8000), 8000)
    (tmp_path / "bad.mp3").write_text("no sound\n" * 99)
    script = str(ROOT / "scripts" / "prepare_audio.py")
    command = [sys.executable, script, str(tmp_path), "--output", str(tmp_path / "out"), "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "bad.mp3: cannot be read" in done.stderr
    assert len(list((tmp_path / "out").iterdir())) == 3


@pytest.fixture
def small_files():
    """No file of this process grows beyond 4 kB, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("ending", ["flac", "wav", "mp3", "ogg"])
def test_full_disk(tmp_path, ending, request):
    soundfile.write(tmp_path / "a.wav", sound(44100), 44100)
    request.getfixturevalue("small_files")
    with pytest.raises(WriteError, match=f"b.{ending}: cannot be written"):
        write_mono(str(tmp_path / "a.wav"), tmp_path / f"b.{ending}", RATE)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def of(*names):
    return lambda root: [root / name for name in names]


COMMAND_LINES = [
    ("missing", of("absent.wav"), [], "absent.wav: no such file or folder"),
    ("empty folder", of("empty"), ["--output", "out"], "empty: no audio or video file in there"),
    ("output is a file", of("a.wav"), ["--output", "a.wav"], r"a.wav.*: (cannot be written|Not a directory)"),
    ("output below a file", of("a.wav"), ["--output", "a.wav/out"], "(cannot be written|Not a directory)"),
    ("no such rate", of("a.wav"), ["--format", "mp3", "--audRate", "96000"], "cannot be written at 96000 Hz"),
    ("no such format", of("a.wav"), ["--format", "aac"], "--format: invalid choice: 'aac'"),
    ("no rate", of("a.wav"), ["--audRate", "0"], "--audRate: expected a whole number"),
]


@pytest.mark.parametrize(("name", "inputs", "options", "expected"), COMMAND_LINES, ids=[c[0] for c in COMMAND_LINES])
def test_command_lines(tmp_path, monkeypatch, capfd, name, inputs, options, expected):
    (tmp_path / "deep").mkdir()
    (tmp_path / "empty").mkdir()
    for file in ("a.wav", "deep/a.flac"):
        soundfile.write(tmp_path / file, sound(8000), 8000)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert run(monkeypatch, *inputs(tmp_path), "--output", tmp_path / "empty", *options) == 2
    err = capfd.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1
    with pytest.raises(InputError, match=expected):
        raise InputError(err)
    assert sorted(tmp_path.rglob("*")) == before
