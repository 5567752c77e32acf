"""Any audio or video file that libav reads -> its sound, mono at one rate, block by block."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import av
import numpy as np
import soundfile

from utils.errors import InputError, WriteError
from utils.files import replacing
from utils.resampling import resample

FORMATS = {"flac": "PCM_16", "wav": "PCM_16", "mp3": "MPEG_LAYER_III", "ogg": "VORBIS"}
WHOLE_SHARE = 0.9  # of the length a header tells of, which is an estimate in some formats


def write_mono(source: str, target: Path, rate_hz: int) -> None:
    """Writes the sound of a file as `target`, mono at `rate_hz`, in the format (of `FORMATS`) its name ends in.

    Raises:
        InputError: as `mono_blocks`, or `target` cannot be written (WriteError).
    """
    subtype = FORMATS[target.suffix.removeprefix(".")]
    blocks = mono_blocks(source, rate_hz)
    first = next(blocks)  # nothing is made of a file that cannot be read
    with replacing(target) as temporary:
        temporary.touch()  # soundfile would not say why a file cannot be made
        try:
            file = soundfile.SoundFile(temporary, "w", rate_hz, channels=1, subtype=subtype)
        except soundfile.LibsndfileError as error:
            raise WriteError(f"{target}: cannot be written at {rate_hz} Hz ({error.error_string})") from error
        try:
            with file:
                file.write(first)
                for block in blocks:
                    file.write(block)
        except (soundfile.LibsndfileError, AssertionError) as error:  # soundfile asserts that all was written
            raise WriteError(f"{target}: cannot be written to its end; is the disk full?") from error


def mono_blocks(path: str, rate_hz: int) -> Iterator[np.ndarray]:
    """The sound of a file, its first audio track, as blocks `[samples]` float32 at `rate_hz`; channels are averaged.

    Joined they equal `dataset.audio.read_window` of the whole recording. Memory does not grow with the file.

    Raises:
        InputError: the file is missing, broken, truncated or holds no sound, or NaN or infinite samples.
    """
    with _opened(path) as container:
        stream = container.streams.best("audio")
        if stream is None:
            raise InputError(f"{path}: holds no sound")
        frames = container.decode(stream)
        first = next(frames, None)
        if first is None:
            raise InputError(f"{path}: holds no sound")
        waves = _waves(path, chain([first], frames), first.sample_rate, _seconds(container, stream))
        for block in resample(waves, first.sample_rate, rate_hz):
            if len(block):
                yield block


def _waves(path: str, frames: Iterable[av.AudioFrame], rate_hz: int, told_s: float) -> Iterator[np.ndarray]:
    """The frames' mono waves `[samples]`; at their end raises InputError if the header told of much more, `told_s`."""
    samples = 0
    for frame in frames:
        if frame.sample_rate != rate_hz:
            raise InputError(f"{path}: its sampling rate changes from {rate_hz} to {frame.sample_rate} Hz")
        wave = _mono(frame)
        if not np.isfinite(wave).all():
            raise InputError(f"{path}: holds NaN or infinite samples")
        samples += len(wave)
        yield wave
    if not samples:
        raise InputError(f"{path}: holds no sound")
    if samples < WHOLE_SHARE * told_s * rate_hz:
        raise InputError(
            f"{path}: ends after {samples / rate_hz:.1f} of the {told_s:.1f} s that its header tells of; the file is "
            "truncated"
        )


def _seconds(container: av.container.InputContainer, stream: av.AudioStream) -> float:
    """The length that the header tells of."""
    return float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / 1e6


def _mono(frame: av.AudioFrame) -> np.ndarray:
    """The mean of a frame's channels, `[samples]` float32 in -1..1."""
    channels = frame.to_ndarray()
    if not frame.format.is_planar:
        channels = channels.reshape(-1, frame.layout.nb_channels).T
    with np.errstate(over="ignore"):  # infinite then, which the caller refuses
        return _to_unit(channels).mean(axis=0)


def _to_unit(samples: np.ndarray) -> np.ndarray:
    """Samples of any type in -1..1, float32."""
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    full_scale = -np.iinfo(samples.dtype).min if samples.dtype.kind == "i" else 1
    return samples.astype(np.float32) / np.float32(full_scale)


@contextmanager
def _opened(path: str) -> Iterator[av.container.InputContainer]:
    """The file, and nothing that it may refer to: a playlist could name any address."""
    options = {"protocol_whitelist": "file"}
    try:
        if not os.path.getsize(path):
            raise InputError(f"{path}: cannot be read as audio or video (the file is empty)")
        with av.open(f"file:{path}", metadata_errors="ignore", options=options) as container:
            yield container
    except (av.FFmpegError, OSError) as error:
        reason = "no such file" if not os.path.exists(path) else error.strerror or error
        raise InputError(f"{path}: cannot be read as audio or video ({reason})") from error
