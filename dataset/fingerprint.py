"""A fingerprint of a recording's sound, which does not depend on format or rate; and which recordings share a sound.

After Haitsma and Kalker, "A Highly Robust Audio Fingerprinting System", ISMIR 2002: 32 bits every 46 ms, each of which
says whether the difference between two neighbouring bands has grown since the previous frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from utils.resampling import resample

Fingerprint = tuple[np.ndarray, np.ndarray]  # values [frames] uint32, and which of the frames are loud
RATE_HZ = 5512
LOWEST_RATE_HZ = 2000  # recordings of lower rates have no fingerprint
FRAME, HOP = 2048, 256  # samples
EDGES_HZ = np.geomspace(300, 2000, 34)  # edges of 33 bands
FLOOR = 1e-5  # share of the loudest frame's energy below which a band counts as silent
QUIET = 1e-4  # share of the loudest frame's energy below which a frame is ignored
STEP = 0.05  # a change of the level, in powers of ten, that sets a bit
MOST_ALIKE = 24  # places with one value, in all recordings; more of them tell nothing apart
LEAST_VOTES = 4  # places with one value, at one shift, that make it worth comparing two recordings
MOST_FRAMES = 2**20  # most frames of a recording, 13 hours, and most recordings
MOST_COMPARED = 2**18  # frames of a recording that are kept, its first 3 hours: memory does not grow beyond
SHIFTS = 3  # shifts between two recordings that are tried
LEAST_FRAMES, STRETCH = 20, 128  # frames compared at least, and those of a stretch, 1 s and 6 s
LEAST_CHANGE = 0.02  # share of bits that differ by chance: below it a sound changes too little to be known
SAME = 0.6  # two recordings are the same sound if at most this share of the bits differs that would by chance


def fingerprint(blocks: Iterable[np.ndarray], rate_hz: int) -> Fingerprint:
    """The fingerprint of a mono recording in blocks `[samples]`: 32 bits for each frame, and whether it is loud enough
    to count.

    Of `blocks`, what comes after `MOST_COMPARED` frames is read and ignored.
    """
    blocks = iter(blocks)
    if rate_hz < LOWEST_RATE_HZ:
        deque(blocks, maxlen=0)
        return np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=bool)
    found, count = [np.zeros((0, len(EDGES_HZ) - 1))], 0
    for frames in _frames(resample(blocks, rate_hz, RATE_HZ)):
        found.append(_bands(frames))
        count += len(frames)
        if count >= MOST_COMPARED:
            break
    deque(blocks, maxlen=0)
    bands = np.concatenate(found)[:MOST_COMPARED]
    if len(bands) < 2:
        return np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=bool)
    energy = bands.sum(axis=1)
    level = np.log10(bands + FLOOR * energy.max() + 1e-30)
    bits = np.diff(np.diff(level, axis=1), axis=0) > STEP  # [frames - 1, 32]
    values = np.packbits(bits, axis=1).view(">u4")[:, 0].astype(np.uint32)
    return values, energy[1:] > QUIET * energy.max()


def _frames(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Overlapping frames `[some, FRAME]` of a signal in blocks."""
    rest = np.zeros(0, dtype=np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        if len(rest) >= FRAME:
            frames = np.lib.stride_tricks.sliding_window_view(rest, FRAME)[::HOP]
            yield frames
            rest = rest[len(frames) * HOP :]


def _bands(frames: np.ndarray) -> np.ndarray:
    """Energies of the bands, `[frames, 33]`."""
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME), axis=1)) ** 2
    edges = np.round(EDGES_HZ * FRAME / RATE_HZ).astype(int)
    return np.add.reduceat(power, edges, axis=1)[:, :-1]


def same_sounds(prints: list[Fingerprint], groups: list[int]) -> list[tuple[int, int]]:
    """Pairs of recordings that share a stretch of sound, by their fingerprints.

    groups: a number for each recording; recordings with the same number are not compared.
    """
    return [
        (one, other)
        for one, other, shift in _candidates(prints, np.array(groups))
        if any(_agree(prints[one], prints[other], shift + more) for more in (-1, 0, 1))
    ]


def _candidates(prints: list[Fingerprint], groups: np.ndarray) -> list[tuple[int, int, int]]:
    """Pairs of recordings in which rare values occur several times with the same shift, and their likeliest shifts."""
    begins = [np.flatnonzero(loud[1:] & (v[1:] != v[:-1])).astype(np.int32) + 1 for v, loud in prints]
    number = np.repeat(np.arange(len(prints)), [len(places) for places in begins])
    place = np.concatenate([np.zeros(0, dtype=np.int32), *begins])
    value = np.concatenate(
        [np.zeros(0, dtype=np.uint32), *(p[0][places] for p, places in zip(prints, begins, strict=True))]
    )
    order = np.lexsort((number, value))
    number, place, value = number[order], place[order], value[order]
    _, inverse, counts = np.unique(value, return_inverse=True, return_counts=True)
    rare = counts[inverse] <= MOST_ALIKE
    number, place, value = number[rare], place[rare], value[rare]
    votes = [np.zeros(0, dtype=np.int64)]  # a pair and its shift, packed into one number
    for step in range(1, min(MOST_ALIKE, len(value))):
        first = np.flatnonzero((value[step:] == value[:-step]) & (groups[number[step:]] != groups[number[:-step]]))
        second = first + step
        shift = place[second].astype(np.int64) - place[first] + MOST_FRAMES
        packed = (number[first] * MOST_FRAMES + number[second]) * (2 * MOST_FRAMES) + shift
        votes += [packed, packed + 1]  # frames of one may lie between those of the other
    packed, counts = np.unique(np.concatenate(votes), return_counts=True)
    packed, counts = packed[counts >= LEAST_VOTES], counts[counts >= LEAST_VOTES]
    pairs, shift = np.divmod(packed[np.argsort(-counts, kind="stable")], 2 * MOST_FRAMES)
    found = np.stack([*np.divmod(pairs, MOST_FRAMES), shift - MOST_FRAMES], axis=1)
    shifts: dict[tuple[int, int], list[int]] = {}
    for one, other, shift in found.tolist():
        shifts.setdefault((one, other), []).append(shift)
    return [(*pair, shift) for pair, several in shifts.items() for shift in several[:SHIFTS]]


def _agree(one: Fingerprint, other: Fingerprint, shift: int) -> bool:
    """Whether some stretch of two fingerprints is the same, if frame `n` of one is frame `n + shift` of the other."""
    begin, end = max(0, -shift), min(len(one[0]), len(other[0]) - shift)
    if end - begin < LEAST_FRAMES:
        return False
    loud = one[1][begin:end] & other[1][begin + shift : end + shift]
    bits = [_unpacked(values)[loud] for values in (one[0][begin:end], other[0][begin + shift : end + shift])]
    length = min(STRETCH, int(loud.sum()))
    for start in range(0, len(bits[0]) - length + 1, max(1, length // 4)):
        first, second = (part[start : start + length] for part in bits)
        p, q = first.mean(axis=0), second.mean(axis=0)
        by_chance = (p * (1 - q) + q * (1 - p)).mean()  # share of bits that would differ in unlike sounds
        if length >= LEAST_FRAMES and by_chance > LEAST_CHANGE and (first != second).mean() < SAME * by_chance:
            return True
    return False


def _unpacked(values: np.ndarray) -> np.ndarray:
    """`[frames]` uint32 -> `[frames, 32]` bool."""
    return np.unpackbits(values.astype(">u4").view(np.uint8).reshape(-1, 4), axis=1).astype(bool)
