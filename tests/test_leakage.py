"""Recordings that lists share: by name, by content, by sound; and what check_data passes can be read at any place."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from test_check_data import RATE, found, tree  # noqa: F401  (a fixture)
from tools import write_tone

from dataset.audio import open_recording
from dataset.check_recordings import check_recording
from dataset.fingerprint import fingerprint, same_sounds
from dataset.index import IndexRow, write_index
from dataset.sound_file import SoundFileDecoder


def melody(seed: int, seconds: float = 12.0, rate: int = 22050) -> np.ndarray:
    """Notes with overtones and pauses, others for another seed: `[L]`."""
    rng, wave = np.random.default_rng(seed), np.zeros(int(seconds * rate))
    position = 0
    while position < len(wave):
        length = int(rng.uniform(0.15, 0.7) * rate)
        t = np.arange(length) / rate
        pitch = 220 * 2 ** (rng.integers(24) / 12)
        note = sum(np.sin(2 * np.pi * k * pitch * t) / k for k in range(1, 6)) * np.exp(-3 * t)
        wave[position : position + length] += 0.15 * note[: len(wave) - position]
        position += length
    return wave + 1e-4 * rng.standard_normal(len(wave))


def print_of(path):
    with open_recording(str(path)) as recording:
        return fingerprint(recording.blocks(), recording.rate_hz)


FORMATS = [("a.mp3", {}), ("a.ogg", {}), ("a.opus", {"format": "OGG", "subtype": "OPUS"}), ("a.flac", {})]


def write_as(path, wave, rate, format=None, subtype=None):
    if path.suffix == ".opus":
        wave, rate = np.interp(np.arange(0, len(wave), rate / 24_000), np.arange(len(wave)), wave), 24_000
    soundfile.write(path, wave, rate, format=format, subtype=subtype)


@pytest.mark.parametrize(("name", "how"), FORMATS)
@pytest.mark.parametrize("cut_s", [0.0, 1.237])
def test_a_sound_is_known_in_every_format(tmp_path, name, how, cut_s):
    wave = melody(0)
    soundfile.write(tmp_path / "whole.wav", wave, 22050)
    write_as(tmp_path / name, 0.3 * wave[int(cut_s * 22050) :], 22050, **how)
    prints = [print_of(tmp_path / "whole.wav"), print_of(tmp_path / name)]
    assert (0, 1) in same_sounds(prints, [0, 1]) and not same_sounds(prints, [0, 0])


def test_other_sounds_are_not_taken_for_one():
    rng = np.random.default_rng(0)
    t = np.arange(10 * RATE) / RATE
    waves = [melody(seed, rate=RATE) for seed in range(20)]
    waves += [0.1 * rng.standard_normal(len(t)) for _ in range(4)]
    waves += [0.3 * np.sin(2 * np.pi * 440 * t) + 0.01 * rng.standard_normal(len(t)) for _ in range(4)]
    waves += [0.3 * np.sin(2 * np.pi * hz * t) for hz in (220, 330, 440)]
    waves += [np.zeros(len(t)), np.ones(5), np.zeros(0), np.full(len(t), 0.5)]
    prints = [fingerprint([wave.astype(np.float32)], RATE) for wave in waves]
    assert same_sounds(prints, list(range(len(prints)))) == []
    assert same_sounds([], []) == []


def test_blocks_do_not_matter():
    wave = melody(1).astype(np.float32)
    values, loud = fingerprint([wave], 22050)
    parts, loud_parts = fingerprint(np.array_split(wave, 37), 22050)
    np.testing.assert_array_equal(values, parts)
    np.testing.assert_array_equal(loud, loud_parts)


SHARED = [
    ("audio/cello/train.flac", "test", "the same name"),  # an id under two endings
    ("solos/cello/train.wav", "test", "the same name"),  # an id in two data sets
    ("audio/violin/another id.mp3", "val", "the same sound"),
    ("audio/violin/another id.ogg", "test", "the same sound"),
]


@pytest.mark.parametrize(("path", "name", "why"), SHARED)
def test_a_recording_in_two_lists(tree, path, name, why):  # noqa: F811
    soundfile.write(tree / "audio/cello/train.wav", melody(0), 22050)
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(tree / path, melody(0 if why == "the same sound" else 1), 22050)
    rows = [IndexRow(path, f"frames/{instrument}/{name}", 3) for instrument in ("cello", "violin")]
    rows[1] = IndexRow(f"audio/violin/{name}.wav", rows[1].frames_path, 3)
    write_index(
        tree / f"{name}.csv",
        rows if "cello" in path else [*rows, IndexRow("audio/cello/val.wav", rows[0].frames_path, 3)],
    )
    shared = [finding for finding in found()[1] if finding.kind == "shared recording" and path in finding.reason]
    assert len(shared) == 1 and shared[0].is_error
    assert shared[0].path == "audio/cello/train.wav" and f"(also {path}: {why})" in shared[0].reason


def test_recordings_of_one_list_may_sound_alike(tree):  # noqa: F811
    for name in ("train", "again"):
        soundfile.write(
            tree / f"audio/cello/{name}.wav", melody(0), 22050, subtype="PCM_24" if name == "again" else None
        )
    with open("train.csv", "a") as file:
        file.write("audio/cello/again.wav,frames/cello/train,3\n")
    assert not [finding for finding in found()[1] if finding.is_error]


def test_recordings_are_read_at_places_as_training_does(tmp_path, monkeypatch):
    """A decoder that misses its place is told, whatever decoding from the beginning gives."""
    write_tone(tmp_path / "a.wav", 4.0, RATE, 1)
    assert check_recording(str(tmp_path / "a.wav"), RATE, 8191).findings == []
    read = SoundFileDecoder.read

    def read_or_miss(decoder, start, stop):
        missed = 7 if start > 2 * RATE else 0
        return read(decoder, start + missed, stop + missed)

    monkeypatch.setattr(SoundFileDecoder, "read", read_or_miss)
    (finding,) = check_recording(str(tmp_path / "a.wav"), RATE, 8191).findings
    assert (
        finding.kind == "unreadable recording"
        and "reading gives other samples than decoding the whole file" in finding.reason
    )
