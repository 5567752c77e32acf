"""Composed music: which works of music21's corpus belong to which split, and their notes."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from utils.files import read_json, replacing

TICKS = 960  # of a quarter note
# Split by composer: no work, nor one that could quote it, is in two splits. Chorales by their numbers in the Bach
# works' catalogue, as many as the other works together.
CHORALES = (
    *("1.6", "101.7", "102.7", "103.6", "104.6", "108.6", "11.6", "111.6", "112.5", "113.8", "114.7", "116.6"),
    *("117.4", "119.9", "120.6", "121.6", "122.6", "123.6", "124.6", "125.6", "126.6", "127.5", "13.6", "133.6"),
)
WORKS = {
    "train": (
        *(f"bach/bwv{number}" for number in CHORALES),
        *(f"beethoven/opus18no1/movement{number}" for number in (1, 2, 3, 4)),
        *("corelli/opus3no1/1grave", "monteverdi/madrigal.3.1", "monteverdi/madrigal.3.2"),
    ),
    "val": tuple(
        f"mozart/{work}/movement{number}"
        for work, numbers in (("k155", (1, 2, 3)), ("k156", (1, 2, 3)), ("k80", (1, 2)))
        for number in numbers
    ),
    "test": tuple(
        f"haydn/{work}/movement{number}"
        for work, numbers in (("opus1no1", (1, 2, 3, 4, 5)), ("opus74no1", (1, 2, 3, 4)))
        for number in numbers
    ),
}


# What the encodings of these works ask for; those of the others state nothing.
ENCODINGS = {"corelli/opus3no1/1grave": "CC-BY, (c) 2014 Michael Scott Cuthbert"}


@dataclass(frozen=True)
class PartNote:
    """Notes that begin together: onset and length in quarters, MIDI pitches from low to high."""

    onset: float
    length: float
    pitches: tuple[int, ...]


@dataclass(frozen=True)
class Piece:
    """The parts as the score has them, and where the bars of all parts begin, in quarters; last comes the end."""

    parts: tuple[tuple[PartNote, ...], ...]
    bars: tuple[float, ...]


def bake(work: str, path: Path) -> None:
    """Writes a work of music21's corpus as JSON: the starts of its bars and its parts of [onset, length, pitches], in
    ticks."""
    from music21 import corpus

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bars that are too full: `bars_and_parts` cuts them
        score = corpus.parse(work)
    bars, parts = bars_and_parts(score)
    content = {"work": work, "bars": bars, "parts": parts}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, separators=(",", ":")) + "\n")


def bars_and_parts(score) -> tuple[list[int], list[list]]:
    """A music21 score -> the starts of its bars and its end, and its parts of [onset, length, pitches], all in ticks.

    Every bar begins at the same time in all parts, although some bars of the corpus are too full or not full. Notes
    keep their place in their bar, and what lies beyond its end is cut off.
    """
    bars = _bars(score)
    parts = []
    for part in score.parts:
        for measure, start, end in zip(part.getElementsByClass("Measure"), bars, bars[1:], strict=False):
            _cut(measure, end - start)
            part.setElementOffset(measure, Fraction(start, TICKS))
        notes: dict[int, list] = {}
        for note in part.stripTies().flatten().notes:
            length = _ticks(note.quarterLength)
            if length <= 0 or not hasattr(note, "pitches"):
                continue  # grace notes
            onset = _ticks(note.offset)
            pitches = {round(pitch.midi) for pitch in note.pitches}
            old = notes.get(onset, [onset, length, []])
            notes[onset] = [onset, max(length, old[1]), sorted({*old[2], *pitches})]
        if len(notes) >= 8:  # others are figures and rests
            parts.append([notes[onset] for onset in sorted(notes)])
    return bars, parts


def _bars(score) -> list[int]:
    """Where the bars begin, and the end of the last, in ticks.

    A bar is as long as its notes and rests in all parts. Where the parts disagree, the longest decides, or the time
    signature if that is shorter. Raises ValueError if the parts have different numbers of bars.
    """
    bars = [0]
    for measures in zip(*(part.getElementsByClass("Measure") for part in score.parts), strict=True):
        lengths = {max((end for _, _, end in _contents(measure)), default=0) for measure in measures}
        longest = max(lengths)
        if len(lengths) > 1:
            longest = min(longest, _ticks(measures[0].barDuration.quarterLength))
        bars.append(bars[-1] + longest)
    return bars


def _contents(measure) -> list[tuple]:
    """The notes and rests of all voices of a bar with their onset and end in it, in ticks."""
    found = []
    for element in measure.recurse().notesAndRests:
        onset = element.getOffsetInHierarchy(measure)
        found.append((element, _ticks(onset), _ticks(onset + element.quarterLength)))
    return found


def _cut(measure, length: int) -> None:
    """Cuts off what a bar has beyond its length in ticks."""
    for element, onset, end in _contents(measure):
        if onset >= length:
            element.activeSite.remove(element)
        elif end > length:
            element.quarterLength = Fraction(length - onset, TICKS)


def _ticks(quarters) -> int:
    return round(float(quarters) * TICKS)


@lru_cache(maxsize=64)
def read_piece(path: Path) -> Piece:
    """The piece that `bake` wrote."""
    content = read_json(path)
    parts = tuple(
        tuple(PartNote(onset / TICKS, length / TICKS, tuple(pitches)) for onset, length, pitches in part)
        for part in content["parts"]
    )
    return Piece(parts, tuple(start / TICKS for start in content["bars"]))


def path_of(folder: Path, work: str) -> Path:
    """Where a work's notes are kept."""
    return folder / f"{work.replace('/', '-')}.json"
