"""A part of a score and a voice of a font -> a recording: which notes, how they are played, what is heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr
from demo_data.voices import MANNERS, RMS_DBFS

from open_data.fonts import Voice, patch_path
from open_data.patches import read_patch, soundfont_of
from open_data.pieces import PartNote

PLAYED_HZ = 44_100
TUNING_CENTS = 15.0  # a performer is at most so far off
MOST_TOGETHER = {"guitar": 4, "saxophone": 1}  # notes; of the others two
TAIL_S = 1.0
PEAK = 0.95
LEVEL_DB = 2.5  # recordings differ by at most so much from RMS_DBFS


@dataclass(frozen=True)
class Performance:
    """How somebody plays: quarters a minute, cents off, share of a note's length that is held, loudness's slow curve
    (dB, seconds, phase), and how far single notes are from it (MIDI velocities)."""

    tempo: float
    cents: float
    held: float
    swell_db: float
    swell_s: float
    phase: float
    scatter: float


@dataclass(frozen=True)
class Note:
    """A note as played: seconds, MIDI pitch, MIDI velocity."""

    onset_s: float
    end_s: float
    pitch: int
    velocity: int


def draw_performance(tempo: float, rng: np.random.Generator) -> Performance:
    """A random way to play."""
    return Performance(
        tempo=tempo,
        cents=float(rng.uniform(-TUNING_CENTS, TUNING_CENTS)),
        held=float(rng.uniform(0.65, 1.0)),
        swell_db=float(rng.uniform(1.0, 4.0)),
        swell_s=float(rng.uniform(5.0, 14.0)),
        phase=float(rng.uniform(0, 2 * np.pi)),
        scatter=float(rng.uniform(2.0, 8.0)),
    )


def draw_tempo(part: Sequence[PartNote], rng: np.random.Generator) -> float:
    """Quarters a minute at which a part has 1.5 to 4 notes a second, within 50 to 130."""
    per_quarter = len(part) / max(1.0, part[-1].onset + part[-1].length - part[0].onset)
    return float(np.clip(60 * rng.uniform(1.5, 4.0) / per_quarter, 50, 130))


def into_range(part: Sequence[PartNote], instrument: str) -> tuple[PartNote, ...]:
    """The part moved by octaves into the instrument's range, with no more notes at once than it plays.

    The whole part moves by the octaves that leave fewest notes outside, and what is left outside moves by itself.
    """
    low, high = MANNERS[instrument].lowest, MANNERS[instrument].highest
    pitches = np.array([pitch for note in part for pitch in note.pitches])
    shifts = 12 * np.arange(-6, 7)
    moved = pitches + shifts[:, None]
    outside = ((moved < low) | (moved > high)).sum(axis=1)
    shift = shifts[np.lexsort((np.abs(shifts), outside))[0]]
    most = MOST_TOGETHER.get(instrument, 2)
    return tuple(
        PartNote(note.onset, note.length, tuple(sorted({_folded(p + shift, low, high) for p in note.pitches})[-most:]))
        for note in part
    )


def _folded(pitch: int, low: int, high: int) -> int:
    while pitch < low:
        pitch += 12
    while pitch > high:
        pitch -= 12
    return int(pitch)


def without_rests(part: Sequence[PartNote], longest: float = 1.0) -> tuple[PartNote, ...]:
    """The part for who plays alone: rests of more than `longest` quarters are cut to that."""
    found, end, cut = [], part[0].onset, 0.0
    for note in part:
        cut += max(0.0, note.onset - end - longest)
        end = max(end, note.onset + note.length)
        found.append(PartNote(note.onset - cut, note.length, note.pitches))
    return tuple(found)


def excerpt(part: Sequence[PartNote], start: float, quarters: float, span: float) -> list[PartNote]:
    """The notes that begin in a stretch of quarters, from 0; after `span` quarters the part begins again."""
    found, again = [], 0.0
    while again < start + quarters:
        for note in part:
            if start <= note.onset + again < start + quarters:
                found.append(PartNote(note.onset + again - start, note.length, note.pitches))
        again += span
    return found


def perform(notes: Sequence[PartNote], how: Performance, seconds: float, rng: np.random.Generator) -> list[Note]:
    """Notes of a score as somebody plays them, within the seconds."""
    played, quarter_s = [], 60 / how.tempo
    for note in notes:
        onset = note.onset * quarter_s + float(rng.uniform(0, 0.012))
        length = min(note.length * quarter_s * how.held, 6.0)
        accent = 6.0 if note.onset % 1 < 1e-6 else 0.0
        velocity = int(np.clip(82 + accent + how.scatter * rng.standard_normal(), 45, 120))
        if onset < seconds:
            end = min(onset + max(length, 0.06), seconds)
            played += [Note(onset, end, pitch, velocity) for pitch in note.pitches]
    return played


def render(
    notes: Sequence[Note], voice: Voice, font: Path, how: Performance, seconds: float, rate_hz: int
) -> np.ndarray:
    """What is heard of the notes: mono [L] float64 at about RMS_DBFS, its peak below PEAK."""
    synth, number = _synth(font, *((voice.preset, voice.plucked) if font.is_dir() else (-1, False)))
    synth.program_select(0, number, voice.bank, voice.preset)
    synth.set_tuning(0, how.cents / 100)
    events = [(round(note.onset_s * PLAYED_HZ), 1, note) for note in notes]
    events += [(round(note.end_s * PLAYED_HZ), 0, note) for note in notes]
    events.sort(key=lambda event: (event[0], event[1], event[2].pitch))
    length, place, blocks = round(seconds * PLAYED_HZ), 0, []
    for at, begins, note in events:
        if at > place:
            blocks.append(_generate(synth, at - place))
            place = at
        if begins:
            synth.noteon(0, note.pitch, note.velocity)
        else:
            synth.noteoff(0, note.pitch)
    blocks.append(_generate(synth, max(0, length - place)))
    synth.sounds_off()
    _generate(synth, round(TAIL_S * PLAYED_HZ))  # nothing is left of it in the next recording
    wave = np.concatenate(blocks)[:length]
    time = np.arange(length) / PLAYED_HZ
    wave = wave * 10 ** (how.swell_db * np.sin(2 * np.pi * time / how.swell_s + how.phase) / 20)
    if rate_hz != PLAYED_HZ:
        wave = soxr.resample(wave, PLAYED_HZ, rate_hz, quality="VHQ")
    return wave[: round(seconds * rate_hz)]


def levelled(wave: np.ndarray, gain_db: float) -> np.ndarray:
    """The wave [L] at RMS_DBFS and `gain_db` more, softer where its peak would be above PEAK."""
    loudness = np.sqrt(float(np.mean(wave**2)))
    wave = wave * (10 ** ((RMS_DBFS + gain_db) / 20) / max(loudness, 1e-9))
    return wave * min(1.0, PEAK / max(float(np.abs(wave).max()), 1e-9))


def as_16_bits(wave: np.ndarray) -> np.ndarray:
    """The wave rounded to int16; what the last digits of another processor's arithmetic change is gone."""
    return np.clip(np.rint(wave * 32768), -32768, 32767).astype(np.int16)


def _generate(synth, count: int) -> np.ndarray:
    """Both channels' mean, float64."""
    if not count:
        return np.zeros(0)
    return np.frombuffer(synth.generate(count), np.float32).reshape(-1, 2).astype(float).mean(axis=1)


@lru_cache(maxsize=3)
def _synth(font: Path, preset: int, plucked: bool):
    """A synthesiser that has loaded a font, and the font's number in it. preset: which patch of a folder."""
    from tinysoundfont import Synth

    synth = Synth(samplerate=PLAYED_HZ)
    if preset < 0:
        return synth, synth.sfload(str(font))
    return synth, synth.sfload(soundfont_of(read_patch(patch_path(font, preset)), preset, plucked))
