"""An mp3 or mp2 file -> any part of it, decoded from the frames of that part only."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import soundfile

from dataset.media import LOST_SHARE
from dataset.mpeg import find_mpeg_frames, frames_in, header_of, read_info
from utils.errors import InputError
from utils.files import mapped
from utils.quiet import quiet_stderr

WARM_UP = 16  # frames; one draws on bits of earlier ones, 511 bytes back at most
SIGNPOST = 32  # frames from one whose place is remembered to the next


@dataclass(frozen=True)
class MpegLayout:
    """What must be known about a file of MPEG frames to read a window of it.

    signposts: where every 32nd frame begins, and where the last one ends. samples: of a frame. delay: samples that are
    decoded before the recording begins. lost: frames that the file claims to hold but does not.
    """

    rate_hz: int
    num_channels: int
    num_samples: int
    samples: int
    delay: int
    lost: int
    signposts: tuple[int, ...]


@lru_cache(4096)
def mpeg_layout(path: str, size: int, modified_ns: int) -> MpegLayout | None:
    """The layout of a file, remembered while it stays the same; None if it is another kind, or its frames cannot be
    counted.
    """
    with mapped(path) as data:
        found = find_mpeg_frames(data)
        if found is None:
            return None
        rate_hz, num_channels = header_of(data[found.starts[0] : found.starts[0] + 4])
    count, told = len(found.starts), found.told
    num_samples = max(0, count * found.samples - found.delay)
    if told == count:
        num_samples = max(0, num_samples - found.padding)
    lost = 0 if told is None or told - count <= 1 else told - count  # some count the frame that tells
    if lost > max(1, LOST_SHARE * count):  # truncated, which reading it will say
        num_samples = told * found.samples - found.delay - found.padding
    signposts = (*found.starts[::SIGNPOST], found.starts[-1] + found.sizes[-1])
    return MpegLayout(rate_hz, num_channels, num_samples, found.samples, found.delay, lost, signposts)


class MpegDecoder:
    """A file of MPEG frames: those of a window are cut out and decoded on their own."""

    def __init__(self, path: str, layout: MpegLayout):
        self.path, self.layout, self.lost = path, layout, layout.lost
        self.rate_hz, self.num_channels, self.num_samples = layout.rate_hz, layout.num_channels, layout.num_samples

    def read(self, start: int, stop: int) -> np.ndarray:
        layout = self.layout
        start, stop = start + layout.delay, stop + layout.delay
        first = max(0, start // layout.samples - WARM_UP)
        frames = self._frames(first, -(-stop // layout.samples))
        if not frames:
            return np.zeros((0, self.num_channels), dtype=np.float32)
        if first and read_info(frames[0])[3]:  # of the second of two files that were joined: a decoder would obey it
            return self.read(start - layout.delay - layout.samples, stop - layout.delay)[layout.samples :]
        # Behind them zeros: libsndfile reads no more samples than it guesses there are, by the size of the first frame.
        content = io.BytesIO(b"".join(frames) + bytes((len(frames) + 4) * 2 * len(frames[0])))
        count = len(frames) * layout.samples
        try:
            with quiet_stderr(), soundfile.SoundFile(content) as file:
                decoded = file.read(count, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise InputError(f"{self.path}: cannot be decoded ({error.error_string})") from error
        if len(decoded) < count:
            raise InputError(f"{self.path}: cannot be decoded (damaged at {start / self.rate_hz:.1f} s)")
        return decoded[start - first * layout.samples : stop - first * layout.samples]

    def close(self) -> None:
        """Nothing is open between reads."""

    def _frames(self, first: int, stop: int) -> list[bytes]:
        """Frames `first .. stop`; fewer where the file ends."""
        signposts = self.layout.signposts
        before = first // SIGNPOST
        behind = min(-(-stop // SIGNPOST), len(signposts) - 1)
        if before >= behind:
            return []
        with open(self.path, "rb") as file:
            file.seek(signposts[before])
            content = file.read(signposts[behind] - signposts[before])
        return frames_in(content)[first - before * SIGNPOST : stop - before * SIGNPOST]
