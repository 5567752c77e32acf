"""An audio file of any format -> any part of its samples at its own rate, through the decoder that is exact for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Protocol

import numpy as np
import soundfile

from dataset.flac import COUNT, find_flac_links, is_cut_out, with_count
from dataset.media import MediaDecoder
from dataset.mpeg import after_tags
from dataset.mpeg_file import MpegDecoder, mpeg_layout
from dataset.ogg import find_links
from dataset.sound_file import UNKNOWN, ChainDecoder, FilePart, SoundFileDecoder, plain_rifx
from utils.errors import InputError
from utils.files import fault_of_file, identity, mapped, words_of

BLOCK = 2**20  # samples that `decoded_blocks` decodes at a time


class Decoder(Protocol):
    """Reads one file. num_samples: what a full decode gives. lost: packets that could not be decoded, left out."""

    path: str
    rate_hz: int
    num_channels: int
    num_samples: int
    lost: int

    def read(self, start: int, stop: int) -> np.ndarray:
        """Samples `start .. stop`: `[samples, channels]` float32, fewer where the file ends; raises InputError."""

    def close(self) -> None: ...


@contextmanager
def open_decoder(path: str) -> Iterator[Decoder]:
    """The decoder of a file; raises InputError: it is missing, not audio, or holds no samples."""
    decoder = _choose(path)
    try:
        if not isinstance(decoder, MediaDecoder) and decoder.num_samples <= 0:
            raise InputError(f"{path}: the recording holds no samples")
        yield decoder
    finally:
        decoder.close()


def decoded_blocks(decoder: Decoder) -> Iterator[np.ndarray]:
    """All of a file in blocks `[samples, channels]`; raises InputError: it is damaged or truncated."""
    if isinstance(decoder, MediaDecoder):  # which need not know how many there will be
        yield from decoder.blocks()
        return
    for start in range(0, decoder.num_samples, BLOCK):
        stop = min(start + BLOCK, decoder.num_samples)
        block = decoder.read(start, stop)
        if len(block) < stop - start:
            raise truncated(decoder)
        yield block


def truncated(decoder: Decoder) -> InputError:
    """The error for a file that holds fewer samples than its header states."""
    return InputError(
        f"{decoder.path}: ends before the {decoder.num_samples} samples its header states; the file is truncated or "
        "damaged"
    )


def _choose(path: str) -> Decoder:
    if fault := fault_of_file(path):
        raise InputError(f"{path}: cannot be read as audio ({fault})")
    kind, offset = _content(path)
    if kind == "mpeg":
        layout = mpeg_layout(*identity(path))
        if layout is not None:
            return MpegDecoder(path, layout)
    try:
        return _by_libsndfile(path, kind, offset)
    except (soundfile.LibsndfileError, OSError, TypeError) as error:  # TypeError: a .raw file without a format
        failure = _failure(path, error)
    if kind == "rifx":  # libav takes big-endian samples for little-endian ones
        raise failure
    try:
        return MediaDecoder(path)
    except InputError as error:
        raise error if "Format not recognised" in str(failure) else failure from None


def _content(path: str) -> tuple[str, int]:
    """The first bytes of a file after its ID3v2 tags, and how many bytes these tags take."""
    with open(path, "rb") as file:
        start, offset = file.read(4), 0
    if start[:3] == b"ID3":
        with mapped(path) as data:
            offset = after_tags(data, 0)
            start = data[offset : offset + 4]
    kinds = {b"fLaC": "flac", b"OggS": "ogg", b"RIFX": "rifx"}
    if start in kinds:
        return kinds[start], offset
    return ("mpeg" if start[:1] == b"\xff" and start[1:2] >= b"\xe0" else ""), offset


def _by_libsndfile(path: str, kind: str, offset: int) -> Decoder:
    """Raises libsndfile's error where it cannot read the file, and InputError."""
    links = _links(*identity(path), kind, offset)
    if len(links) > 1 or kind == "ogg" and links != ((0, os.path.getsize(path)),):
        parts = [SoundFileDecoder(path, FilePart(path, *link)) for link in links]
        return ChainDecoder(path, parts) if all(part.is_exact for part in parts) else MediaDecoder(path)
    source: str | FilePart = path
    if kind == "flac" and not links:
        return MediaDecoder(path)
    if kind == "flac" and offset:  # libsndfile does not find its way in it
        source = FilePart(path, offset)
    elif kind == "rifx":
        source = plain_rifx(path) or path
    decoder = SoundFileDecoder(path, source)
    if decoder.is_exact:
        return decoder
    decoder.close()
    layout = mpeg_layout(*identity(path)) if decoder.format == "MP3" else None
    if layout is not None:
        return MpegDecoder(path, layout)
    try:
        by_libav = MediaDecoder(path)
    except InputError:
        if decoder.num_samples in (0, UNKNOWN):
            return SoundFileDecoder(path, path, 0)
        if decoder.format != "MP3":
            raise
        return SoundFileDecoder(path, path, _count(*identity(path)))  # of free format, which libav does not know
    if kind == "flac" and decoder.num_samples == UNKNOWN:
        with mapped(path) as data:
            head = with_count(data[offset : offset + COUNT + 5], by_libav.num_samples)
        return SoundFileDecoder(path, FilePart(path, offset, head=head))
    return by_libav


@lru_cache(4096)
def _links(path: str, size: int, modified_ns: int, kind: str, offset: int) -> tuple[tuple[int, int], ...]:
    """Begin and end of the recordings that are joined in a file; empty for files in which libsndfile cannot seek."""
    if kind not in ("ogg", "flac"):
        return ((0, size),)
    with mapped(path) as data:
        if kind == "ogg":
            return tuple(find_links(data))
        return () if is_cut_out(data, offset) else tuple(find_flac_links(data, offset))


@lru_cache(4096)
def _count(path: str, size: int, modified_ns: int) -> int:
    """Samples that libsndfile decodes from the beginning to the end."""
    decoder, count = SoundFileDecoder(path, path), 0
    while block := len(decoder.read(count, count + BLOCK)):
        count += block
    decoder.close()
    return count


def _failure(path: str, error: Exception) -> InputError:
    reason = str(getattr(error, "error_string", "")) or words_of(error)
    if not os.path.getsize(path):
        reason = "the file is empty"
    elif reason.startswith("File does not exist"):  # what libsndfile says when an mp3 has no frames
        reason = "no frames of audio in it"
    return InputError(f"{path}: cannot be read as audio ({reason})")
