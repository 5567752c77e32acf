"""The sound of any audio or video file -> a mono recording at one rate."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from dataset.audio import Recording, open_recording, too_short
from utils.errors import WriteError
from utils.files import replacing
from utils.resampling import pieces, resample

FORMATS = {"flac": "PCM_16", "wav": "PCM_16", "mp3": "MPEG_LAYER_III", "ogg": "VORBIS"}
PIECE = 2**16  # samples that are encoded at a time: libsndfile's Vorbis has them on the stack
MARK = "made of "  # begins the comment in a recording
FULL_SCALE = 1 - 2**-15  # the largest sample of 16 bits


def write_mono(source: str, target: Path, rate_hz: int) -> str:
    """Writes the sound of a file to `target`, mono at `rate_hz`, in the format (of `FORMATS`) that the name's ending
    says.

    A sound that exceeds full scale is made softer as a whole, not clipped.

    Returns:
        One line about what was changed or lost; empty if nothing was.

    Raises:
        InputError: the file cannot be read, as `mono_blocks`, or `target` cannot be written (WriteError).
    """
    with open_recording(source) as recording:
        with replacing(target) as temporary:
            temporary.touch()  # soundfile would not say why a file cannot be made
            peak = _write(recording, temporary, target, rate_hz, 1.0)
            if peak > 1:
                _write(recording, temporary, target, rate_hz, FULL_SCALE / peak)
        notes = [f"its peak is {peak:.3g} of full scale: made softer by that"] if peak > 1 else []
        if recording.lost:
            notes.append(f"{recording.lost} packet(s) could not be decoded and are left out")
        return f"{source}: {'; '.join(notes)}" if notes else ""


def _write(recording: Recording, temporary: Path, target: Path, rate_hz: int, gain: float) -> float:
    """Writes the sound times `gain`; returns the sound's own peak."""
    peak = 0.0
    try:
        file = soundfile.SoundFile(os.fsencode(temporary), "w", rate_hz, channels=1, subtype=FORMATS[target.suffix[1:]])
    except soundfile.LibsndfileError as error:
        raise WriteError(f"{target}: cannot be written at {rate_hz} Hz ({error.error_string})") from error
    try:
        with file:
            file.comment = _mark(recording.path)
            for block in pieces(mono_blocks(recording, rate_hz), PIECE):
                peak = max(peak, float(np.abs(block).max()))
                file.write(block * np.float32(gain))
    except (soundfile.LibsndfileError, AssertionError) as error:  # soundfile asserts that all was written
        raise WriteError(f"{target}: cannot be written to its end; is the disk full?") from error
    return peak


def is_of_another(target: Path, source: str | Path) -> bool:
    """Whether `write_mono` made a recording from another file than `source`; False if the recording does not say."""
    try:
        with soundfile.SoundFile(os.fsencode(target)) as file:
            return file.comment.startswith(MARK) and file.comment != _mark(source)
    except (soundfile.LibsndfileError, OSError):
        return False


def _mark(source: str | Path) -> str:
    """How a recording identifies the file it was made from: a digest of the path, which does not reveal the path
    itself.
    """
    return MARK + hashlib.blake2b(os.fsencode(os.path.abspath(source)), digest_size=8).hexdigest()


def mono_blocks(recording: Recording, rate_hz: int) -> Iterator[np.ndarray]:
    """A recording as blocks `[samples]` float32 at `rate_hz`; channels are averaged.

    Joined, they equal `dataset.audio.read_window` of the whole recording. Memory does not grow with its length.

    Raises:
        InputError: as `Recording.read`, or it is too short for one sample.
    """
    is_empty = True
    for block in resample(recording.blocks(), recording.rate_hz, rate_hz):
        if len(block):
            is_empty = False
            yield block
    if is_empty:
        raise too_short(recording.path, rate_hz)
