"""The frames of an MPEG audio file (mp3, mp2), found by their headers: how many samples there are, and where."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from mmap import mmap

RATES_HZ = (44100, 48000, 32000)  # rates of MPEG-1; MPEG-2 has half of them, MPEG-2.5 a quarter
KBITS_1 = {  # kbit/s by the header's number, 1 to 14, of MPEG-1's layers; 0 is free format
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
KBITS_2 = {  # of MPEG-2 and 2.5
    1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    3: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
KIND_MASK = 0xFFFE0C00  # the bits of a header that all frames share: sync, version, layer, sampling rate
HEADER_BYTES = 4
MONO = 3
DECODER_DELAY = 529  # samples by which decoders of layer III are late
LEAST_FRAMES = 3  # least frames of a file: libsndfile does not always take fewer for sound
LEAST_RUN = 16  # frames of another kind in a row that are no accident: a recording of another rate was joined on
LEAST_SHARE = 0.5  # least share of the bytes after the first tags that frames cover: any file may hold less


@dataclass(frozen=True)
class MpegFrames:
    """Where the frames of a file lie, without a first frame that only describes the others (Xing, Info, VBRI).

    starts, sizes: of each frame, `[frames]` in bytes. samples: of one frame. told: how many frames the file claims to
    hold, None if it does not say. delay, padding: samples at the beginning and at the end that do not belong to the
    sound.
    """

    starts: list[int]
    sizes: list[int]
    samples: int
    told: int | None
    delay: int
    padding: int


def find_mpeg_frames(data: bytes | mmap) -> MpegFrames | None:
    """The frames in the content of a file; tags, pictures and junk between them are skipped.

    Returns None where the headers are not conclusive: no two frames follow one another, or only in a small part of what
    may be something else; or they have free format, or change between one channel and two.
    """
    begin = after_tags(data, 0)
    starts, sizes = _frames_from(data, begin)
    if not starts or sum(sizes) < LEAST_SHARE * (len(data) - begin):
        return None
    modes = {data[start + 3] >> 6 == MONO for start in starts}
    if len(modes) > 1 or _has_others(data, begin, starts, sizes):
        return None
    first = data[starts[0] : starts[0] + sizes[0]]
    told, delay, padding, is_only_told = read_info(first)
    if is_only_told:
        del starts[0], sizes[0]
    samples = _samples(int.from_bytes(first[:4], "big"))
    if len(starts) < LEAST_FRAMES:
        return None
    return MpegFrames(starts, sizes, samples, told, delay, padding)


def _frames_from(data: bytes | mmap, position: int, in_step: bool = False) -> tuple[list[int], list[int]]:
    """Starts and sizes of the frames from `position` on, all of the first one's kind; `in_step`: one begins there."""
    starts, sizes, kind = [], [], None
    end = len(data)
    while position <= end - 4:
        header = int.from_bytes(data[position : position + 4], "big")
        size = _size(header) if kind is None or header & KIND_MASK == kind else 0
        if not size or not (in_step or _follows(data, position + size, header & KIND_MASK)):
            position, in_step = _next_sync(data, position, in_step), False
            continue
        if position + size > end:  # cut off: no decoder makes sound of it
            break
        kind, in_step = header & KIND_MASK, True
        starts.append(position)
        sizes.append(size)
        position += size
    return starts, sizes


def _has_others(data: bytes | mmap, begin: int, starts: list[int], sizes: list[int]) -> bool:
    """Whether there are frames of another kind before, between or after the frames that were found."""
    ends = [begin, *(start + size for start, size in zip(starts, sizes, strict=True))]
    for end, start in zip(ends, [*starts, len(data)], strict=True):
        position = after_tags(data, end)
        if start - position > LEAST_RUN * HEADER_BYTES:
            others, _ = _frames_from(data[position:start], 0)
            if len(others) >= LEAST_RUN:
                return True
    return False


def frames_in(data: bytes) -> list[bytes]:
    """The frames of a part of a file that begins with a frame, as `find_mpeg_frames` finds them in the whole file."""
    return [data[start : start + size] for start, size in zip(*_frames_from(data, 0, in_step=True), strict=True)]


def _next_sync(data: bytes | mmap, position: int, in_step: bool) -> int:
    """Where the next header may be; the last frames are often followed by a tag."""
    if in_step:
        after = after_tags(data, position)
        if after > position:
            return after
    found = data.find(b"\xff", position + 1)
    return found if found >= 0 else len(data)


def after_tags(data: bytes | mmap, position: int) -> int:
    """The position after ID3v2 tags, whose pictures may contain what looks like frames."""
    while data[position : position + 3] == b"ID3" and len(data) >= position + 10:
        size = 0
        for byte in data[position + 6 : position + 10]:
            size = size << 7 | byte & 0x7F
        position += 10 + size + (10 if data[position + 5] & 0x10 else 0)
    return position


def _follows(data: bytes | mmap, position: int, kind: int) -> bool:
    """Whether another frame, or the end of the file or of its sound, is at `position`."""
    if position >= len(data) or data[position : position + 3] in (b"TAG", b"ID3", b"APE", b"LYR"):
        return position <= len(data)
    header = int.from_bytes(data[position : position + 4], "big")
    return header & KIND_MASK == kind and _size(header) > 0


def _version_and_layer(header: int) -> tuple[int, int]:
    """(0 for MPEG-2.5, 2 for MPEG-2, 3 for MPEG-1; layer 1 to 3), or 1 and 4 for reserved values."""
    return header >> 19 & 3, 4 - (header >> 17 & 3)


def _rate_hz(header: int) -> int:
    version, _ = _version_and_layer(header)
    return RATES_HZ[header >> 10 & 3] // {3: 1, 2: 2, 0: 4}[version]


def _samples(header: int) -> int:
    version, layer = _version_and_layer(header)
    if layer == 3:
        return 1152 if version == 3 else 576
    return 384 if layer == 1 else 1152


@lru_cache
def _size(header: int) -> int:
    """The size in bytes of the frame with this header; 0 if it is none, or has free format."""
    version, layer = _version_and_layer(header)
    number = header >> 12 & 15
    if header >> 21 != 0x7FF or version == 1 or layer == 4 or number in (0, 15) or header >> 10 & 3 == 3:
        return 0
    bits = 1000 * (KBITS_1 if version == 3 else KBITS_2)[layer][number - 1]
    padding = header >> 9 & 1
    if layer == 1:
        return (12 * bits // _rate_hz(header) + padding) * 4
    return _samples(header) // 8 * bits // _rate_hz(header) + padding


def header_of(frame: bytes) -> tuple[int, int]:
    """The sampling rate in Hz and the number of channels, from a frame's first four bytes."""
    header = int.from_bytes(frame[:4], "big")
    return _rate_hz(header), 1 if header >> 6 & 3 == MONO else 2


def read_info(frame: bytes) -> tuple[int | None, int, int, bool]:
    """What a file's first frame states: number of frames, delay and padding in samples; and whether it holds nothing
    else.
    """
    header = int.from_bytes(frame[:4], "big")
    version, layer = _version_and_layer(header)
    if layer != 3:
        return None, 0, 0, False
    is_mono = header >> 6 & 3 == MONO
    place = 4 + {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}[version == 3, is_mono]
    if frame[36:40] == b"VBRI" and len(frame) >= 54:
        return struct.unpack(">I", frame[50:54])[0], 0, 0, True
    if frame[place : place + 4] not in (b"Xing", b"Info") or len(frame) < place + 12:
        return None, 0, 0, False
    flags, told = struct.unpack(">II", frame[place + 4 : place + 12])
    lame = place + 8 + 4 * bool(flags & 1) + 4 * bool(flags & 2) + 100 * bool(flags & 4) + 4 * bool(flags & 8)
    gaps = int.from_bytes(frame[lame + 21 : lame + 24], "big")  # zero or absent without LAME's part
    delay, padding = gaps >> 12, gaps & 0xFFF
    if gaps:
        delay, padding = delay + DECODER_DELAY, max(0, padding - DECODER_DELAY)
    return told if flags & 1 else None, delay, padding, True
