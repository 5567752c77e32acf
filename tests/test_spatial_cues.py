"""Stems of a binaural mixture keep the interaural level and time differences of their sources."""

from __future__ import annotations

import numpy as np
import pytest
from demo_data import voices
from scipy.signal import stft
from test_separator import CLOUDS, write_run

from separation import Separator
from utils.seeding import generator

RATE_HZ, SECONDS = 44_100, 3
SIDES = ((6.0, -0.4e-3), (-4.5, 0.3e-3))  # of each source: level in dB and time in s, left relative to right
DOMINATES_DB = 20.0  # points of the spectrogram where a source is this much louder than the other
LEVEL_DB, TIME_S = 0.5, 20e-6


@pytest.fixture(scope="module")
def binaural():
    """The two sources `[2, ears, L]` as two ears hear them: louder and earlier on one side."""
    sources = []
    for name, (level_db, time_s) in zip(("violin", "cello"), SIDES, strict=True):
        wave = voices.recording(name, SECONDS, generator(0))
        spectrum, length = np.fft.rfft(wave), SECONDS * RATE_HZ
        hz = np.fft.rfftfreq(length, 1 / RATE_HZ)
        padded = np.zeros(length // 2 + 1, complex)
        padded[: len(spectrum)] = spectrum * length / len(wave)  # the same waveform at 44.1 kHz
        left = padded * 10 ** (level_db / 20) * np.exp(-2j * np.pi * hz * time_s)
        sources.append([np.fft.irfft(left, length), np.fft.irfft(padded, length)])
    return 0.2 * np.array(sources, dtype=np.float32)


def cues(wave, where):
    """Level in dB and time in s of the left ear relative to the right, over the points `where` of its spectrogram."""
    hz, _, (left, right) = stft(wave, RATE_HZ, nperseg=2048)
    level_db = 10 * np.log10((np.abs(left[where]) ** 2).sum() / (np.abs(right[where]) ** 2).sum())
    low = where & (hz < 1000)[:, None]  # where phases are not ambiguous
    cross = (left * right.conj())[low]
    omega = 2 * np.pi * np.broadcast_to(hz[:, None], left.shape)[low]
    weight = np.abs(cross) * omega
    return level_db, -(weight * np.angle(cross)).sum() / (weight * omega).sum()


@pytest.mark.parametrize("masks", ["binary", "soft", "shared"])
def test_cues_of_stems_are_those_of_their_sources(binaural, tmp_path, masks):
    separator = Separator.from_run(write_run(tmp_path / "run"), "cpu")
    stems = separator.separate(binaural.sum(axis=0), RATE_HZ, CLOUDS, masks)
    levels = [np.abs(stft(source, RATE_HZ, nperseg=2048)[2]).max(axis=0) for source in binaural]
    for n, (level_db, time_s) in enumerate(SIDES):
        heard = np.abs(stft(stems[n], RATE_HZ, nperseg=2048)[2]).min(axis=0)
        dominates = levels[n] > 10 ** (DOMINATES_DB / 20) * levels[1 - n]
        where = dominates & (levels[n] > 1e-3 * levels[n].max()) & (heard > 0.05 * levels[n])
        assert where.sum() > 300, "nothing to compare"
        true, found = cues(binaural[n], where), cues(stems[n], where)
        assert true[0] == pytest.approx(level_db, abs=0.3) and true[1] == pytest.approx(time_s, abs=20e-6)
        assert found[0] == pytest.approx(true[0], abs=LEVEL_DB) and found[1] == pytest.approx(true[1], abs=TIME_S)
