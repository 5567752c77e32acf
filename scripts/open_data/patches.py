"""Patches of the Gravis UltraSound (FreePats) -> a SoundFont in memory, so that one player plays all."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.errors import InputError

SIXTEEN_BITS, UNSIGNED, LOOPED = 1, 2, 4  # of a sample's modes
HEADER, SAMPLE_HEADER = 239, 96  # bytes: of a patch with one instrument and one layer, and of each sample
SPACE = 46  # zeros that SoundFont wants behind each sample
KEY_RANGE, ATTACK, DECAY, SUSTAIN, RELEASE, SAMPLE_MODES, SAMPLE_ID = 43, 34, 36, 37, 38, 54, 53  # generators
RING_S = 5.0  # in which a plucked string falls by 100 dB


@dataclass(frozen=True)
class Sample:
    """A recorded note [L] int16: loop in samples, rate in Hz, the MIDI pitch that it has, the highest key it plays."""

    wave: np.ndarray
    loop: tuple[int, int]
    rate_hz: int
    pitch: float
    highest: int


def read_patch(path: Path) -> list[Sample]:
    """The samples of a patch by rising pitch; raises InputError for what is no such file."""
    content = path.read_bytes()
    if content[:12] != b"GF1PATCH110\0":
        raise InputError(f"{path}: not a patch of the Gravis UltraSound")
    samples, place = [], HEADER
    for _ in range(content[198]):
        size, start, end, rate_hz, _, high, root = struct.unpack_from("<IIIHIII", content, place + 8)
        modes = content[place + 55]
        if modes & SIXTEEN_BITS == 0 or modes & UNSIGNED or modes & LOOPED == 0:
            raise InputError(f"{path}: a sample that is not signed, 16 bits and looped")
        wave = np.frombuffer(content, "<i2", size // 2, place + SAMPLE_HEADER)
        samples.append(Sample(wave, (start // 2, end // 2), rate_hz, _midi(root), int(_midi(high) + 0.01)))
        place += SAMPLE_HEADER + size
    return sorted(samples, key=lambda sample: sample.highest)


def soundfont_of(samples: list[Sample], preset: int, plucked: bool) -> bytes:
    """A SoundFont 2.01 file with one preset that plays the samples."""
    waves, headers, zones, lowest, place = [], b"", [], 0, 0
    envelope = [(ATTACK, _timecents(0.001 if plucked else 0.02)), (RELEASE, _timecents(0.25 if plucked else 0.12))]
    if plucked:
        envelope += [(DECAY, _timecents(RING_S)), (SUSTAIN, 1000)]
    for number, sample in enumerate(samples):
        is_last = number == len(samples) - 1
        highest = 127 if is_last else max(lowest, min(127, sample.highest))
        key, cents = int(round(sample.pitch)), int(round(100 * (sample.pitch - round(sample.pitch))))
        zone = [(KEY_RANGE, lowest | highest << 8), *envelope, (SAMPLE_MODES, 1), (SAMPLE_ID, number)]
        zones.append(zone)
        end, (loop_start, loop_end) = place + len(sample.wave), sample.loop
        name = f"sample {number}".encode()
        # The cents correct what the sample is off its key: one that is sharp is lowered.
        numbers = (place, end, place + loop_start, place + loop_end, sample.rate_hz, key, -cents, 0, 1)
        headers += struct.pack("<20sIIIIIBbHH", name, *numbers)
        waves += [sample.wave, np.zeros(SPACE, np.int16)]
        place, lowest = end + SPACE, min(127, highest + 1)
    headers += struct.pack("<20sIIIIIBbHH", b"EOS", *(0,) * 9)
    bags, generators, count = b"", b"", 0
    for zone in zones:
        bags += struct.pack("<HH", count, 0)
        generators += b"".join(struct.pack("<Hh" if op in (ATTACK, DECAY, RELEASE) else "<HH", op, x) for op, x in zone)
        count += len(zone)
    bags += struct.pack("<HH", count, 0)
    parts = {
        b"phdr": struct.pack("<20sHHHIII", b"patch", preset, 0, 0, 0, 0, 0)
        + struct.pack("<20sHHHIII", b"EOP", 0, 0, 1, 0, 0, 0),
        b"pbag": struct.pack("<HHHH", 0, 0, 1, 0),
        b"pmod": bytes(10),
        b"pgen": struct.pack("<HHHH", 41, 0, 0, 0),
        b"inst": struct.pack("<20sH20sH", b"patch", 0, b"EOI", len(zones)),
        b"ibag": bags,
        b"imod": bytes(10),
        b"igen": generators + bytes(4),
        b"shdr": headers,
    }
    info = _chunk(b"ifil", struct.pack("<HH", 2, 1)) + _chunk(b"INAM", b"patch\0")
    data = _chunk(b"smpl", np.concatenate(waves).astype("<i2").tobytes())
    lists = (b"INFO" + info, b"sdta" + data, b"pdta" + b"".join(_chunk(name, part) for name, part in parts.items()))
    return _chunk(b"RIFF", b"sfbk" + b"".join(_chunk(b"LIST", part) for part in lists))


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def _midi(millihertz: int) -> float:
    return float(69 + 12 * np.log2(millihertz / 440_000))


def _timecents(seconds: float) -> int:
    return int(round(1200 * np.log2(seconds)))
