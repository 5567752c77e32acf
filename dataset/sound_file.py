"""Any part of a file that libsndfile reads; files that it would read incompletely or wrongly are given in
another form.
"""

from __future__ import annotations

import os

import numpy as np
import soundfile

from utils.errors import InputError
from utils.quiet import quiet_stderr

MPEG_WARM_UP = 16 * 1152  # samples; a frame draws on bits of earlier ones
UNKNOWN = 2**63 - 1  # samples, as libsndfile says where a header does not tell
VORBIS_WARM_UP = 16 * 1152
OPUS_WARM_UP = 2 * 48_000  # the state of its speech coder fades slowly
OGG_LAST_PAGE = 2**18  # samples; seeking into the last page misses, and a page holds at most 255 blocks of 1024


class SoundFileDecoder:
    """A file that libsndfile reads and can seek in.

    Attributes:
        is_exact: libsndfile's count of samples is what a full decode gives, and any position can be sought.

    Args:
        source: the path, or a part of the file.
        num_samples: in place of libsndfile's own count.

    Raises:
        soundfile.LibsndfileError, OSError, TypeError: the file cannot be read.
    """

    lost = 0

    def __init__(self, path: str, source: str | FilePart, num_samples: int | None = None):
        with quiet_stderr():
            file = soundfile.SoundFile(os.fsencode(source) if isinstance(source, str) else source)
        self.path, self._file, self.format = path, file, file.format
        self.rate_hz, self.num_channels = file.samplerate, file.channels
        self.num_samples = file.frames if num_samples is None else num_samples
        is_estimate = file.format == "MP3" or file.subtype.startswith("MPEG")
        self.is_exact = file.seekable() and not is_estimate and 0 < file.frames < UNKNOWN

    def read(self, start: int, stop: int) -> np.ndarray:
        anchor = self._anchor(start)
        try:
            with quiet_stderr():
                if self.format == "OGG":  # libsndfile misses a place a little way ahead of the last one
                    self._file.seek(0)
                self._file.seek(anchor)
                return self._file.read(stop - anchor, dtype="float32", always_2d=True)[start - anchor :]
        except soundfile.LibsndfileError as error:
            raise InputError(f"{self.path}: cannot be decoded ({error.error_string})") from error

    def close(self) -> None:
        self._file.close()

    def _anchor(self, start: int) -> int:
        """Where decoding must begin so that sample `start` is right; at `start` itself in files that are not
        compressed.
        """
        if self.format == "OGG":
            warm_up = OPUS_WARM_UP if self._file.subtype == "OPUS" else VORBIS_WARM_UP
            return max(0, min(start - warm_up, self.num_samples - OGG_LAST_PAGE))
        return max(0, start - MPEG_WARM_UP) if self.format == "MP3" else start


class ChainDecoder:
    """Recordings one after another in one file, each with a decoder of its own."""

    lost = 0

    def __init__(self, path: str, links: list[SoundFileDecoder]):
        self.path, self._links = path, links
        self.rate_hz, self.num_channels = links[0].rate_hz, links[0].num_channels
        for link in links:
            if (link.rate_hz, link.num_channels) != (self.rate_hz, self.num_channels):
                raise InputError(
                    f"{path}: joined of recordings of {self.num_channels} channel(s) at {self.rate_hz} Hz and of "
                    f"{link.num_channels} at {link.rate_hz} Hz"
                )
        self.num_samples = sum(link.num_samples for link in links)

    def read(self, start: int, stop: int) -> np.ndarray:
        parts = [np.zeros((0, self.num_channels), dtype=np.float32)]
        begin = 0
        for link in self._links:
            first, last = max(start - begin, 0), min(stop - begin, link.num_samples)
            if first < last:
                parts.append(link.read(first, last))
            begin += link.num_samples
        return np.concatenate(parts)

    def close(self) -> None:
        for link in self._links:
            link.close()


class FilePart:
    """Bytes `start .. end` of a file as a file to read, with the first bytes replaced by `head`."""

    def __init__(self, path: str, start: int, end: int | None = None, head: bytes = b""):
        self._start, self._head = start, head
        self._file = open(path, "rb")  # noqa: SIM115 (close() closes it)
        self._size = (os.path.getsize(path) if end is None else end) - start
        self._place = 0

    def read(self, count: int = -1) -> bytes:
        left = max(0, self._size - self._place)
        count = left if count < 0 else min(count, left)
        head = self._head[self._place : self._place + count]
        self._file.seek(self._start + self._place + len(head))
        self._place += count
        return head + self._file.read(count - len(head))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def close(self) -> None:
        self._file.close()


def plain_rifx(path: str) -> FilePart | None:
    """A big-endian WAV file with an extensible header, with the header replaced by a plain one, which libsndfile reads.

    None for other files, and for samples that are neither whole numbers nor floats.
    """
    with open(path, "rb") as file:
        if file.read(12)[::8] != b"RW":
            return None
        form = b""
        while len(head := file.read(8)) == 8:
            name, size = head[:4], int.from_bytes(head[4:], "big")
            if name == b"data":
                break
            content = file.read(size + size % 2)
            form = content if name == b"fmt " else form
        start = file.tell()
        file.seek(0, os.SEEK_END)
        size = file.tell() - start
    tag = form[24:26].strip(b"\0") and form[24:26] or form[26:28]  # writers differ in the order of its 32 bits
    if form[:2] != b"\xff\xfe" or tag not in (b"\0\1", b"\0\3"):
        return None
    parts = (b"RIFX", size + 36, b"WAVEfmt ", 16, tag + form[2:16], b"data", size)
    head = b"".join(part if isinstance(part, bytes) else part.to_bytes(4, "big") for part in parts)
    return FilePart(path, start - len(head), head=head)
