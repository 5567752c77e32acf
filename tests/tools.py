"""Recordings made by Debian's tools, in the shapes that downloads have; tests that need a tool which is absent skip."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

TONE = "tone.wav"
PACKAGES = "sox libsox-fmt-mp3 lame ffmpeg flac vorbis-tools opus-tools shellcheck"


def needs(*tools: str) -> None:
    """Skips the test, with a notice, where one of the programs is missing."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {' '.join(missing)}: apt-get install {PACKAGES}")


def make(folder: Path, command: str) -> None:
    """Runs a line of shell in `folder`, where `tone.wav` is; skips the test where its programs are missing."""
    needs(*(part.split()[0] for part in command.replace("&&", "|").split("|")))
    subprocess.run(["sh", "-ec", command], cwd=folder, check=True, capture_output=True)


def write_tone(path: Path, seconds: float = 6.0, rate_hz: int = 44100, channels: int = 2) -> np.ndarray:
    """A melody with attacks and pauses, so that block sizes and bit rates of coders change: `[L, channels]`."""
    rng = np.random.default_rng(0)
    wave = np.zeros((int(seconds * rate_hz), channels))
    t = np.arange(rate_hz // 3) / rate_hz
    for start in rng.integers(0, max(1, len(wave) - len(t)), int(4 * seconds)):
        note = np.sin(2 * np.pi * 110 * 2 ** (rng.integers(36) / 12) * t) + 0.3 * rng.standard_normal(len(t))
        note *= 0.2 * np.exp(-12 * t)
        room = wave[start : start + len(t)]
        room += note[: len(room), None] * rng.uniform(0.5, 1, channels)
    wave = wave.clip(-1, 1)
    soundfile.write(path, wave, rate_hz, subtype="PCM_16")
    return wave


def by_ffmpeg(path: Path, channels: int) -> np.ndarray:
    """The whole file as ffmpeg decodes it: `[L, channels]`."""
    needs("ffmpeg")
    command = ["ffmpeg", "-v", "quiet", "-nostdin", "-i", path, "-map", "0:a:0", "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True).stdout, "<f4").reshape(-1, channels)


def without_first_frame(mp3: bytes) -> bytes:
    """An mp3 file without tags that has lost the frame in which its length is told."""
    second = mp3.index(mp3[:2], 4)
    assert b"Xing" in mp3[:second] or b"Info" in mp3[:second]
    return mp3[second:]
