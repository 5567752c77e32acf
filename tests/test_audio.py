"""Windows of recordings: equal to the slice of the whole, for every format, rate and place."""

from __future__ import annotations

import sys
import tracemalloc

import librosa
import numpy as np
import pytest
import soundfile

from dataset.audio import read_window, recording_length
from utils.errors import InputError

RATE = 11025
FORMATS = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}


def tone(seconds=4.0, rate=RATE, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    waves = [
        sum(np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) for f in rng.uniform(100, 3000, 5)) * 0.1
        for _ in range(channels)
    ]
    return np.stack(waves, axis=1).astype(np.float32)  # [L, channels]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_windows_equal_the_slice_of_the_whole(tmp_path, suffix, channels):
    path = str(tmp_path / f"a.{suffix}")
    soundfile.write(path, tone(12.0, channels=channels), RATE, subtype=FORMATS[suffix])
    whole = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)
    assert recording_length(path, RATE) == len(whole)
    tolerance = 0 if suffix in ("wav", "flac") else 1e-5
    for start in (0, 1, *range(997, len(whole) - 3000, 997), len(whole) - 3000, len(whole) - 1):
        length = min(3000, len(whole) - start)
        window = read_window(path, start, length, RATE)
        np.testing.assert_allclose(window, whole[start : start + length], atol=tolerance)


@pytest.mark.parametrize(("suffix", "rate"), [("mp3", 8000), ("mp3", 24000), ("mp3", 44100), ("ogg", 44100)])
def test_lossy_windows_at_other_frame_lengths(tmp_path, suffix, rate):
    """The frames of an mp3 are half as long at low rates; the lowest bit rate reaches back the most frames."""
    path = str(tmp_path / f"a.{suffix}")
    quality = {"compression_level": 0.99} if suffix == "mp3" else {}
    soundfile.write(path, tone(12.0, rate), rate, format=suffix.upper(), subtype=FORMATS[suffix], **quality)
    whole = soundfile.read(path, dtype="float32")[0]
    for start in (0, *range(1, len(whole) - 500, len(whole) // 40), len(whole) - 500):
        np.testing.assert_allclose(read_window(path, start, 500, rate), whole[start : start + 500], atol=1e-5)


@pytest.mark.parametrize("suffix", FORMATS)
def test_only_the_window_is_decoded(tmp_path, monkeypatch, suffix):
    path, decoded = str(tmp_path / f"a.{suffix}"), []
    soundfile.write(path, tone(90.0), RATE, subtype=FORMATS[suffix])

    class Counting(soundfile.SoundFile):
        def read(self, frames=-1, *arguments, **settings):
            decoded.append(frames)
            return super().read(frames, *arguments, **settings)

    monkeypatch.setattr(soundfile, "SoundFile", Counting)
    recording_length(path, RATE)
    assert not decoded
    for start in (0, 500_000, 900_000):
        read_window(path, start, 20_000, RATE)
    most = {"wav": 0, "flac": 0, "mp3": 18 * 576, "ogg": 2**18 + 16 * 1152}[suffix]  # decoded ahead of a window
    assert len(decoded) == 3 and all(20_000 <= frames <= 20_000 + most for frames in decoded)


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_memory_does_not_grow_with_the_recording(tmp_path, suffix):
    peaks = []
    for minutes in (1, 10):
        path = str(tmp_path / f"{minutes}.{suffix}")
        soundfile.write(path, np.tile(tone(60.0, 8000), (minutes, 1)), 8000, subtype=FORMATS[suffix])
        length = recording_length(path, RATE)
        tracemalloc.start()
        for start in (0, length // 2, length - 65_535):
            read_window(path, start, 65_535, RATE)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] > 65_535 * 4 and peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000, 44101])
def test_resampled_windows_equal_the_slice_of_the_resampled_whole(tmp_path, rate):
    path = str(tmp_path / "a.wav")
    soundfile.write(path, tone(3.0, rate, 2), rate, subtype="FLOAT")
    whole = read_window(path, 0, recording_length(path, RATE), RATE)
    original = soundfile.read(path, dtype="float32")[0].mean(axis=1)
    expected = librosa.resample(original, orig_sr=rate, target_sr=RATE, res_type="soxr_vhq")
    assert abs(len(whole) - len(expected)) <= 1
    shared = min(len(whole), len(expected))
    np.testing.assert_allclose(whole[:shared], expected[:shared], atol=1e-3)
    for start, length in ((0, 500), (12_345, 6000), (len(whole) - 777, 777), (1, 1)):
        np.testing.assert_allclose(read_window(path, start, length, RATE), whole[start : start + length], atol=1e-3)


@pytest.mark.parametrize("suffix", ["flac", "mp3"])
def test_resampled_windows_of_compressed_recordings(tmp_path, suffix):
    path = str(tmp_path / f"a.{suffix}")
    soundfile.write(path, tone(5.0, 44100, 2), 44100, subtype=FORMATS[suffix])
    whole = soundfile.read(path, dtype="float32")[0].mean(axis=1)
    expected = librosa.resample(whole, orig_sr=44100, target_sr=RATE, res_type="soxr_vhq")
    assert recording_length(path, RATE) == len(expected)
    for start in (0, 1, 12_345, len(expected) - 5000):
        np.testing.assert_allclose(read_window(path, start, 5000, RATE), expected[start : start + 5000], atol=1e-3)


def test_a_short_recording_starts_over(tmp_path):
    path = str(tmp_path / "a.wav")
    wave = tone(0.1)
    soundfile.write(path, wave, RATE, subtype="FLOAT")
    window = read_window(path, 500, 5000, RATE)
    np.testing.assert_array_equal(window, wave[np.arange(500, 5500) % len(wave), 0])


def bad_files(folder):
    soundfile.write(folder / "whole.mp3", tone(), RATE, format="MP3")
    soundfile.write(folder / "whole.flac", tone(), RATE)
    soundfile.write(folder / "whole.wav", tone(), RATE, subtype="PCM_16")
    for name in ("flac", "wav"):
        data = (folder / f"whole.{name}").read_bytes()
        (folder / f"truncated.{name}").write_bytes(data[: len(data) // 2])
    for name in ("mp3", "wav", "flac"):
        (folder / f"empty.{name}").write_bytes(b"")
        (folder / f"text.{name}").write_text("this is not audio\n" * 50)
    soundfile.write(folder / "none.wav", np.zeros((0, 1)), RATE)
    soundfile.write(folder / "nan.wav", np.full(RATE, np.nan, dtype=np.float32), RATE, subtype="FLOAT")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("truncated.flac", "truncated|decoded"),
        ("empty.mp3", "cannot be read as audio"),
        ("empty.wav", "cannot be read as audio"),
        ("empty.flac", "cannot be read as audio"),
        ("text.mp3", "cannot be read as audio|no samples"),
        ("text.wav", "cannot be read as audio"),
        ("missing.wav", "no such file"),
        ("none.wav", "holds no samples"),
        ("nan.wav", "NaN"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, reason):
    bad_files(tmp_path)
    path = str(tmp_path / name)
    with pytest.raises(InputError, match=reason) as error:
        read_window(path, recording_length(path, RATE) - 2000, 2000, RATE)
    assert path in str(error.value) and "\n" not in str(error.value)


def test_the_decoder_keeps_quiet(tmp_path, capfd):
    path = str(tmp_path / "a.mp3")
    soundfile.write(path, tone(20.0), RATE, format="MP3")
    for start in range(0, 200_000, 9973):
        read_window(path, start, 1000, RATE)
    assert capfd.readouterr().err == ""
    for start in range(0, 200_000, 9973):  # what is kept quiet: seeking without the care taken above
        with soundfile.SoundFile(path) as file:
            file.seek(start)
            file.read(1000)
    assert "mpg123" in capfd.readouterr().err
    print("and what others print is heard again", file=sys.stderr)
    assert "heard again" in capfd.readouterr().err
