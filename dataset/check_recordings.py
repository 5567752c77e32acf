"""Recordings decoded from beginning to end: what is wrong with each, and which of them are the same."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.audio import NotFiniteError, open_recording, read_window
from dataset.findings import Finding, reason_of
from dataset.fingerprint import Fingerprint, fingerprint, same_sounds
from dataset.index import instrument_name
from utils.errors import InputError

SILENT = 1e-4  # a recording that never exceeds this, -80 dB of full scale, is silent
# Share of full scale; share of the samples that reach it in a clipped recording.
CLIPPED_LEVEL, CLIPPED_SHARE = 0.999, 1e-3
PROBES, PROBE = 12, 2000  # places where a recording is read as training does, and samples read there
SAME_SOUND = 1e-3  # largest difference between samples read there and decoded from the beginning


@dataclass(frozen=True)
class CheckedRecording:
    """What was found in a recording: its length, a digest of its bytes ('' if unreadable), what is wrong with it.

    sound: its `dataset.fingerprint.fingerprint`, None if unreadable.
    """

    seconds: float
    digest: str
    findings: list[Finding]
    sound: Fingerprint | None = None


def check_recording(path: str, rate_hz: int, window: int) -> CheckedRecording:
    """Decodes a recording from beginning to end, at its own rate.

    Args:
        rate_hz, window: the rate it will be resampled to, and the samples a mixture takes at that rate.
    """
    try:
        with open_recording(path) as recording:
            own_rate, length = recording.rate_hz, recording.num_samples
            taken = recording.length_at(rate_hz)
            heard = _Heard(length)
            sound = fingerprint(map(heard.add, recording.blocks()), own_rate)
        for start, expected in heard.probes.items():
            found = read_window(path, start, len(expected), own_rate)
            if np.abs(found - expected).max() > SAME_SOUND:
                raise InputError(
                    f"{path}: at {start / own_rate:.1f} s reading gives other samples than decoding the whole file"
                )
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "blake2b").hexdigest()
    except (InputError, OSError) as error:
        kind = "NaN in recording" if isinstance(error, NotFiniteError) else "unreadable recording"
        return CheckedRecording(0.0, "", [Finding(kind, path, reason_of(error, path))])
    problems = {}
    if heard.peak <= SILENT:
        problems["silent recording"] = (
            f"never louder than {heard.peak:.1g} of full scale; its mixtures cannot be scored"
        )
    if taken < window:
        problems["short recording"] = f"{length / own_rate:.2f} s, shorter than the window; it will be repeated"
    if own_rate != rate_hz:
        problems["other rate"] = f"{own_rate} Hz, not {rate_hz}; it will be resampled"
    if heard.clipped > CLIPPED_SHARE * length:
        problems["clipped recording"] = f"{100 * heard.clipped / length:.1f} % of its samples are at full scale"
    findings = [Finding(kind, path, reason) for kind, reason in problems.items()]
    return CheckedRecording(length / own_rate, digest, findings, sound)


class _Heard:
    """What is measured of a recording of `length` samples, block by block.

    Attributes:
        peak: the largest absolute sample. clipped: how many are at full scale. probes: position -> samples from there
            on.
    """

    def __init__(self, length: int):
        self.peak, self.clipped, self.probes, self._done = 0.0, 0, {}, 0
        self._places = {int(place) for place in np.linspace(0, max(0, length - PROBE), PROBES)}

    def add(self, block: np.ndarray) -> np.ndarray:
        """Measures a block `[samples]`, and returns it."""
        level = np.abs(block)
        self.peak = max(self.peak, float(level.max(initial=0)))
        self.clipped += int((level >= CLIPPED_LEVEL).sum())
        end = self._done + len(block)
        inside = [place for place in self._places if self._done <= place < end]
        self.probes |= {place: block[place - self._done :][:PROBE].copy() for place in inside}
        self._done = end
        return block


def alike_recordings(
    recordings: dict[str, CheckedRecording], lists_of: dict[str, tuple[str, ...]]
) -> dict[str, tuple[str, str]]:
    """Which recordings are the same: path -> (the path that stands for all copies of it, why).

    They have the same bytes, the same name in folders of one instrument, or the same sound.
    """
    paths = list(recordings)
    alike = {path: (path, "") for path in paths}

    def join(one: str, other: str, why: str) -> None:
        first, second = alike[one][0], alike[other][0]
        for path in paths:
            if first != second and alike[path][0] == second:
                alike[path] = (first, alike[path][1] or why)

    for why, key in (
        ("the same file", os.path.realpath),
        ("a copy", lambda path: recordings[path].digest),
        ("the same name", lambda path: (instrument_name(Path(path).parent.name), Path(path).stem)),
    ):
        first: dict = {}
        for path in paths:
            if key(path):
                join(first.setdefault(key(path), path), path, why)
    heard = [path for path in paths if recordings[path].sound is not None and len(recordings[path].sound[0])]
    numbers = {lists: n for n, lists in enumerate(dict.fromkeys(lists_of.values()))}
    groups = [numbers[lists_of[path]] for path in heard]
    for one, other in same_sounds([recordings[path].sound for path in heard], groups):
        join(heard[one], heard[other], "the same sound")
    return alike
