"""A simple random phrase model: what the voices play."""

from dataclasses import dataclass

import numpy as np

MODES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10), "dorian": (0, 2, 3, 5, 7, 9, 10)}
# Bars of four beats as note lengths in beats; a style draws from its own.
RHYTHMS = {
    "lyric": ((2, 2), (3, 1), (1, 1, 2), (1.5, 0.5, 2), (4,), (2, 1, 1)),
    "flowing": ((1, 1, 1, 1), (1, 0.5, 0.5, 1, 1), (1.5, 0.5, 1, 1), (0.5,) * 4 + (1, 1), (2, 1, 0.5, 0.5)),
    "lively": ((0.5,) * 8, (0.5, 0.5, 1) * 2, (1, 0.25, 0.25, 0.5, 1, 0.5, 0.5), (0.75, 0.25) * 4),
}
STEPS, STEP_CHANCES = (-4, -3, -2, -1, 0, 1, 2, 3, 4), (0.03, 0.06, 0.12, 0.26, 0.06, 0.26, 0.12, 0.06, 0.03)


@dataclass(frozen=True)
class Note:
    """One tone: onset and length in seconds, pitch as a MIDI number, strength 0..1, plucked rather than sustained."""

    onset_s: float
    duration_s: float
    midi: int
    strength: float
    plucked: bool


@dataclass(frozen=True)
class Manner:
    """How an instrument is usually written for.

    lowest and highest are MIDI numbers; styles name keys of RHYTHMS; tempo_bpm is a range; double_stops is the chance
    of a second tone, chords the chance that a bar is strummed or arpeggiated, plucks the chance that a recording of a
    bowed instrument is plucked.
    """

    lowest: int
    highest: int
    styles: tuple[str, ...]
    tempo_bpm: tuple[float, float]
    double_stops: float = 0.0
    chords: float = 0.0
    plucks: float = 0.0


def compose(manner: Manner, seconds: float, rng: np.random.Generator) -> list[Note]:
    """Random music of that length within the register, in one key, tempo and style."""
    scale = _scale(manner, rng)
    style = RHYTHMS[str(rng.choice(manner.styles))]
    beat_s = 60.0 / rng.uniform(*manner.tempo_bpm)
    chordal = rng.uniform(0.0, 2.0) * manner.chords
    plucked = manner.chords > 0 or bool(rng.random() < manner.plucks)
    span = min(len(scale), int(rng.integers(8, 13)))  # one recording stays within about one and a half octaves
    low = int(rng.integers(0, len(scale) - span + 1))
    degree, time_s, notes = low + span // 2, rng.uniform(0.0, 0.4), []
    while time_s < seconds:
        bars = int(rng.integers(2, 5))
        peak = rng.uniform(0.3, 0.8)
        for bar in range(bars):
            # A phrase swells to its peak and falls; its strength is never quite even.
            strength = 1.0 - 0.6 * abs((bar + 0.5) / bars - peak) + rng.normal(0.0, 0.05)
            if rng.random() < chordal:
                notes += _chord_bar(scale, degree, time_s, beat_s, strength, rng)
                time_s += 4 * beat_s
                continue
            for beats in style[rng.integers(len(style))]:
                degree = _walk(degree, low, low + span - 1, rng)
                duration_s = beats * beat_s
                voices = [degree]
                if rng.random() < manner.double_stops and degree + 2 < len(scale) and beats >= 1:
                    voices.append(min(degree + int(rng.choice((2, 5))), len(scale) - 1))
                loudness = float(np.clip(strength + rng.normal(0.0, 0.06), 0.2, 1.0))
                notes += [Note(time_s, duration_s, scale[voice], loudness, plucked) for voice in voices]
                time_s += duration_s
        time_s += float(rng.choice((0.25, 0.5, 1.0))) * beat_s
    return [note for note in notes if note.onset_s < seconds - 0.1]


def _scale(manner: Manner, rng: np.random.Generator) -> list[int]:
    """MIDI numbers of a random key's tones within the register, rising."""
    tonic, mode = int(rng.integers(12)), MODES[str(rng.choice(tuple(MODES)))]
    return [midi for midi in range(manner.lowest, manner.highest + 1) if (midi - tonic) % 12 in mode]


def _walk(degree: int, low: int, high: int, rng: np.random.Generator) -> int:
    """The next scale degree: mostly a step, now and then a leap, reflected at the ends of the range."""
    degree += int(rng.choice(STEPS, p=STEP_CHANCES))
    degree = 2 * low - degree if degree < low else degree
    return 2 * high - degree if degree > high else degree


def _chord_bar(
    scale: list[int], degree: int, time_s: float, beat_s: float, strength: float, rng: np.random.Generator
) -> list[Note]:
    """A bar of one triad in open position: strummed on some beats or broken into eighths."""
    root = degree % 7
    tones = [scale[place] for place in (root, root + 2, root + 4, root + 7, root + 9, root + 11) if place < len(scale)]
    tones = tones[: int(rng.integers(4, 7))]
    strength = float(np.clip(strength, 0.2, 1.0))
    if rng.random() < 0.5:
        spread_s = rng.uniform(0.008, 0.03)
        beats = (0, 2) if rng.random() < 0.5 else (0, 1, 2, 3)
        length_s = 4 * beat_s / len(beats)
        return [
            Note(time_s + beat * beat_s + place * spread_s, length_s, midi, 0.6 * strength, True)
            for beat in beats
            for place, midi in enumerate(tones)
        ]
    order = [*range(len(tones)), *range(len(tones) - 2, 0, -1)]
    return [
        Note(time_s + step * beat_s / 2, 1.5 * beat_s, tones[order[step % len(order)]], strength, True)
        for step in range(8)
    ]
