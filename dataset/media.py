"""Any audio or video file that libav reads -> its sound, block by block from the beginning."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache

import av
import numpy as np

from dataset.containers import told_bytes
from utils.errors import InputError
from utils.files import identity, is_utf8, words_of

WHOLE_SHARE = 0.9  # share of the length in the header before which a file that ends is truncated
SLACK_S = 0.2  # how much earlier than its header states a whole file may end: packets are that long
LOST_SHARE = 0.01  # share of the packets that may be undecodable, at least one: tags at the end of a file look like one
ESTIMATED = {"aac", "ac3", "dts", "eac3", "loas", "mp3", "mpeg"}  # formats whose length libav guesses by the bit rate
BY_BYTES = {"asf", "avi"}  # formats whose headers may hold any length; `told_bytes` tells whether they are whole
MOST_TRIES = 100  # to find the next packet
FRAME_OF_FLAC = b"\xff"  # begins all packets of FLAC but headers, those of a recording that was joined on
KEPT_S = 60  # the sound decoded last that is kept, for reads that go back a little


class MediaDecoder:
    """The first audio track of a file; reading at a position decodes everything before it.

    Attributes:
        rate_hz, num_channels: of the track.
        num_samples: what a full decode gives; the first use decodes the file.
        lost: packets that could not be decoded and were left out of the blocks returned so far.

    Raises:
        InputError: the file is missing, broken or holds no sound.
    """

    def __init__(self, path: str):
        self.path, self.lost = path, 0
        with _opened(path) as container:
            frame = next((frame for _, frame in self._frames(container) if frame is not None), None)
        if frame is None:
            raise InputError(f"{path}: holds no sound")
        self.rate_hz, self.num_channels = frame.sample_rate, frame.layout.nb_channels
        self._restart()

    @property
    def num_samples(self) -> int:
        return _count_samples(*identity(self.path))

    def close(self) -> None:
        self._blocks.close()

    def read(self, start: int, stop: int) -> np.ndarray:
        """Samples `start .. stop`, `[samples, channels]` float32; fewer at the end. Raises InputError as `blocks`."""
        if self._kept and start < self._kept_from:
            self._restart()
        while self._done < stop:
            block = next(self._blocks, None)
            if block is None:
                break
            self._kept.append(block)
            self._done += len(block)
            while self._kept_from + len(self._kept[0]) <= min(start, self._done - KEPT_S * self.rate_hz):
                self._kept_from += len(self._kept.pop(0))
        if not self._kept:
            return np.zeros((0, self.num_channels), dtype=np.float32)
        return np.concatenate(self._kept)[max(0, start - self._kept_from) : max(0, stop - self._kept_from)]

    def blocks(self) -> Iterator[np.ndarray]:
        """The whole track, in blocks `[samples, channels]` float32. Memory does not grow with the file.

        Raises:
            InputError: the file is damaged or truncated, holds NaN or infinite samples, or its rate changes.
        """
        samples, packets, self.lost = 0, 0, 0
        with _opened(self.path) as container:
            told_s = _told_length(container)
            reached_s = 0.0
            for end_s, frame in self._frames(container):
                reached_s = max(reached_s, end_s)
                if frame is None:
                    packets += 1
                    continue
                if frame.sample_rate != self.rate_hz:
                    raise InputError(
                        f"{self.path}: its sampling rate changes from {self.rate_hz} to {frame.sample_rate} Hz"
                    )
                samples += frame.samples
                yield self._block(frame)
        if self.lost > max(1, LOST_SHARE * packets):
            raise InputError(f"{self.path}: {self.lost} of {packets} packets cannot be decoded; the file is damaged")
        reached_s = max(reached_s, samples / self.rate_hz)
        if told_s - reached_s > max(SLACK_S, (1 - WHOLE_SHARE) * told_s):
            raise InputError(
                f"{self.path}: ends after {reached_s:.1f} of the {told_s:.1f} s that its header states; the file is "
                "truncated"
            )
        told, size = told_bytes(self.path), os.path.getsize(self.path)
        if size < WHOLE_SHARE * told:
            raise InputError(
                f"{self.path}: holds {size} of the {told} bytes that its header states; the file is truncated"
            )

    def _frames(self, container: av.container.InputContainer) -> Iterator[tuple[float, av.AudioFrame | None]]:
        """For each packet of the file the time in seconds at its end, and None; then the time with each of
        its frames.
        """
        stream = container.streams.best("audio")
        if stream is None:
            raise InputError(f"{self.path}: holds no sound")
        if stream.codec_context is None:
            raise InputError(f"{self.path}: cannot be read as audio (libav knows no decoder for it)")
        for packet in self._packets(container):
            time = packet.pts if packet.pts is not None else packet.dts
            end_s = 0.0 if time is None else float((time + (packet.duration or 0)) * packet.time_base)
            yield end_s, None
            if packet.stream is not stream:
                continue
            if stream.codec_context.name == "flac" and packet.size and bytes(packet)[:1] != FRAME_OF_FLAC:
                continue
            try:
                decoded = packet.decode()
            except av.FFmpegError:  # InvalidDataError, or an error of the codec itself
                self.lost += 1
                continue
            for frame in decoded:
                yield end_s, frame

    def _packets(self, container: av.container.InputContainer) -> Iterator[av.Packet]:
        """The packets of a file up to its end, or up to where only other data follow: such data do not end a run of
        packets.
        """
        tries = MOST_TRIES
        while tries:
            try:
                for packet in container.demux():
                    tries = MOST_TRIES
                    yield packet
                return
            except av.InvalidDataError:
                break
            except IndexError:  # a packet of a track that appears late, which PyAV does not expect
                continue
            except av.BlockingIOError:  # libav has read much that is no packet, and may find one yet
                tries -= 1
        self.lost += 1

    def _block(self, frame: av.AudioFrame) -> np.ndarray:
        block = _samples(frame)
        if block.shape[1] != self.num_channels:  # they change within the file
            with np.errstate(over="ignore", invalid="ignore"):  # not finite then, which is refused
                block = np.repeat(block.mean(axis=1, keepdims=True), self.num_channels, axis=1)
        return block

    def _restart(self) -> None:
        self._blocks = self.blocks()
        self._kept: list[np.ndarray] = []
        self._kept_from = self._done = 0


@lru_cache(4096)
def _count_samples(path: str, size: int, modified_ns: int) -> int:
    """The number of samples of a file's track, found by decoding it, and remembered while the file stays the same."""
    return sum(map(len, MediaDecoder(path).blocks()))


def _told_length(container: av.container.InputContainer) -> float:
    """The length in seconds that a file's header states; 0 if it states none, or one that is unreliable."""
    name = container.format.name
    if name in ESTIMATED or name in BY_BYTES:
        return 0.0
    if name == "matroska,webm" and all(stream.duration for stream in container.streams):
        return 0.0  # its header states no length; libav guesses one, and writes it to all tracks
    return (container.duration or 0) / 1e6


def _samples(frame: av.AudioFrame) -> np.ndarray:
    """A frame's samples `[samples, channels]`, float32 in -1..1."""
    channels = frame.layout.nb_channels
    if frame.format.name in ("s64", "s64p"):  # which to_ndarray does not know
        planes = [np.frombuffer(plane, np.int64) for plane in frame.planes]
        waves = np.stack(planes, axis=1)[: frame.samples] if len(planes) > 1 else planes[0].reshape(-1, channels)
        return _to_unit(waves[: frame.samples])
    waves = frame.to_ndarray()
    return _to_unit(waves.T if frame.format.is_planar else waves.reshape(-1, channels))


def _to_unit(samples: np.ndarray) -> np.ndarray:
    """Samples of any type in -1..1, float32."""
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    full_scale = -float(np.iinfo(samples.dtype).min) if samples.dtype.kind == "i" else 1
    with np.errstate(over="ignore"):  # infinite then, which the caller refuses
        return samples.astype(np.float32) / np.float32(full_scale)


@contextmanager
def _opened(path: str) -> Iterator[av.container.InputContainer]:
    """Opens the file and nothing that it may refer to, because a playlist could name any address."""
    options = {"protocol_whitelist": "file"}
    try:
        if not os.path.getsize(path):
            raise InputError(f"{path}: cannot be read as audio (the file is empty)")
        with ExitStack() as stack:
            # PyAV takes no names but those of UTF-8; what it opens itself is read faster.
            source = f"file:{path}" if is_utf8(path) else stack.enter_context(open(path, "rb"))
            yield stack.enter_context(av.open(source, metadata_errors="ignore", options=options))
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path}: cannot be read as audio ({words_of(error)})") from error
