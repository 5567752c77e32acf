"""Windows, cross-fades and rates of a separation, without a model."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from dataset.audio import open_recording
from separation.stems import write_stems
from separation.stream import StemStream, Waveform, window_starts
from utils.errors import WriteError
from utils.resampling import fit, resample
from utils.sound_files import writing_sound

WINDOW, RATE = 1000, 8000
GAINS = np.array([1.0, 0.25, -2.0], dtype=np.float32)[:, None, None]


def scaled(mixture):
    """A model that knows no borders: three stems, the mixture times GAINS."""
    assert mixture.shape[-1] == WINDOW
    return GAINS * mixture


def collect(stream):
    return np.concatenate(list(stream), axis=-1)


def noise(channels, length, seed=0):
    return np.random.default_rng(seed).standard_normal((channels, length)).astype(np.float32)


def low_noise(channels, seconds, rate, top_hz=3000):
    """Noise below `top_hz`, which survives a change of rate."""
    spectrum = np.fft.rfft(noise(channels, int(seconds * rate)))
    spectrum[:, np.fft.rfftfreq(int(seconds * rate), 1 / rate) > top_hz] = 0
    return np.fft.irfft(spectrum, int(seconds * rate)).astype(np.float32)


@pytest.mark.parametrize("total", [1, 999, 1000, 1001, 1500, 1501, 2000, 7777])
def test_windows_cover_the_recording(total):
    starts = window_starts(total, WINDOW, 500)
    assert starts[0] == 0 and starts[-1] == max(total - WINDOW, 0) and starts == sorted(set(starts))
    assert max(np.diff(starts), default=0) <= 500


@pytest.mark.parametrize("total", [1, 300, 999, 1000, 1001, 1499, 1500, 1501, 2000, 7777])
def test_windows_add_up_without_a_trace(total):
    """Where all windows agree the cross-fade is exact, for any length, in any number of channels."""
    wave = noise(2, total)
    stream = StemStream(Waveform(wave, RATE), scaled, WINDOW, RATE)
    stems = collect(stream)
    assert stems.shape == (3, 2, total) and stems.dtype == np.float32
    np.testing.assert_allclose(stems, GAINS * wave, atol=1e-6)
    assert len(stream) == len(window_starts(total, WINDOW, 500))


def test_windows_fade_into_one_another():
    """Windows that disagree meet in a straight line, without a jump: each gives its own number."""
    numbers = iter(range(100))
    stream = StemStream(
        Waveform(noise(1, 5300), RATE), lambda mixture: np.full((1, *mixture.shape), next(numbers), "f"), WINDOW, RATE
    )
    stem = collect(stream)[0, 0]
    assert stem[0] == 0 and stem[-1] == len(stream) - 1
    assert np.diff(stem).min() >= 0 and np.diff(stem).max() < 1 / 150


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 44101, 6000])
def test_stems_lie_where_the_recording_lies(rate):
    wave = low_noise(2, 1.3, rate, top_hz=2500)
    stems = collect(StemStream(Waveform(wave, rate), scaled, WINDOW, RATE))
    assert stems.shape == (3, *wave.shape)
    np.testing.assert_allclose(stems[0][:, 500:-500], wave[:, 500:-500], atol=2e-3)
    lags = range(-3, 4)
    match = [(stems[0][0, 500:-500] * np.roll(wave[0], lag)[500:-500]).sum() for lag in lags]
    assert lags[int(np.argmax(match))] == 0


@pytest.mark.parametrize(("kind", "tolerance"), [("wav", 1e-4), ("flac", 1e-4), ("ogg", 1e-4), ("mp3", 1e-4)])
def test_a_file_is_separated_as_its_samples(tmp_path, kind, tolerance):
    """The windows that are read from a file are slices of the whole recording."""
    soundfile.write(tmp_path / f"song.{kind}", 0.1 * low_noise(2, 2.5, 22050).T, 22050)
    samples, _ = soundfile.read(tmp_path / f"song.{kind}", dtype="float32")
    with open_recording(str(tmp_path / f"song.{kind}")) as recording:
        found = collect(StemStream(recording, scaled, WINDOW, RATE))
    expected = collect(StemStream(Waveform(samples.T, 22050), scaled, WINDOW, RATE))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=tolerance)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(8000, 44100), (44100, 8000), (8000, 8000), (7919, 8000)])
def test_resampled_blocks_are_the_whole_resampled(from_hz, to_hz):
    wave = noise(3, 9000).reshape(3, 1, -1)
    whole = np.concatenate(list(resample([wave], from_hz, to_hz)), axis=-1)
    blocks = [wave[..., start : start + 700] for start in range(0, 9000, 700)]
    parts = np.concatenate(list(resample(blocks, from_hz, to_hz)), axis=-1)
    np.testing.assert_array_equal(parts, whole)
    assert abs(parts.shape[-1] - 9000 * to_hz / from_hz) <= 1


@pytest.mark.parametrize("length", [0, 5, 12, 20])
def test_blocks_are_fitted_to_a_length(length):
    fitted = np.concatenate(list(fit([np.ones((2, 7)), np.ones((2, 5))], length)), axis=-1)
    assert fitted.shape == (2, length) and fitted.sum() == 2 * min(length, 12)


def test_stems_and_residual_add_up_to_the_recording(tmp_path):
    wave = 0.1 * noise(2, 5000)
    source = Waveform(wave, RATE)
    stream = StemStream(source, scaled, WINDOW, RATE)
    paths = [tmp_path / f"{n}.wav" for n in range(3)]
    levels = write_stems(stream, source, paths, tmp_path / "residual.wav")
    written = [soundfile.read(path, dtype="float32") for path in [*paths, tmp_path / "residual.wav"]]
    assert all(rate == RATE and samples.shape == (5000, 2) for samples, rate in written)
    np.testing.assert_allclose(sum(samples for samples, _ in written).T, wave, atol=1e-6)
    gains = np.array([1, 0.25, 2, 1.75])  # 1 - (1 + 0.25 - 2) = 1.75
    np.testing.assert_allclose([level.energy_db for level in levels], 20 * np.log10(gains), atol=1e-3)
    np.testing.assert_allclose([level.peak for level in levels], gains * np.abs(wave).max(), rtol=1e-4)


def test_no_stem_is_left_of_a_separation_that_fails(tmp_path):
    def fails(mixture):
        raise RuntimeError("the model failed")

    (tmp_path / "0.wav").write_text("of before")
    source = Waveform(noise(1, 5000), RATE)
    with pytest.raises(RuntimeError, match="the model failed"):
        write_stems(StemStream(source, fails, WINDOW, RATE), source, [tmp_path / f"{n}.wav" for n in range(3)])
    assert [path.name for path in tmp_path.iterdir()] == ["0.wav"] and (tmp_path / "0.wav").read_text() == "of before"


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    class Full:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            if self.file.tell() > 10_000:
                raise OSError(28, "No space left on device")
            return self.file.write(data)

    from utils import sound_files

    sink = sound_files._Sink
    monkeypatch.setattr(sound_files, "_Sink", lambda file: sink(Full(file)))
    with (
        pytest.raises(WriteError, match=r"stem.wav: cannot be written \(No space left on device\)"),
        writing_sound(tmp_path / "stem.wav", RATE, 1, 100_000) as append,
    ):
        for _ in range(100):
            append(noise(1, 1000))
    assert not list(tmp_path.iterdir())


def test_a_stem_beyond_4_gb_has_room(tmp_path):
    with writing_sound(tmp_path / "long.wav", RATE, 2, 2**30) as append:
        append(2 * np.ones((2, 10), dtype=np.float32))
    assert soundfile.info(tmp_path / "long.wav").format == "RF64"
    assert soundfile.read(tmp_path / "long.wav")[0].max() == 2  # beyond full scale, and kept
