"""Audio and video files, and `prepare_audio` run on them in this process."""

from __future__ import annotations

import sys

import av
import numpy as np
import prepare_audio
import pytest

from dataset.audio import open_recording
from dataset.extract import mono_blocks
from utils.errors import run_command

RATE = 11025
SECONDS = 2


def sound(rate: int, channels: int = 2, seconds: float = SECONDS) -> np.ndarray:
    """Noise and a tone below 5 kHz, `[L, channels]`, every channel of another loudness."""
    t = np.arange(int(seconds * rate) + 37) / rate
    wave = 0.3 * np.sin(2 * np.pi * 440 * t) + 0.02 * np.random.default_rng(0).standard_normal(len(t))
    return np.stack([wave / (1 + n) for n in range(channels)], axis=1).astype(np.float32)


def write_media(path, codec: str = "aac", audio: bool = True, video: bool = True, rate: int = 44100) -> None:
    """A file with a picture that changes and a stereo sound."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=25) if video else None
        stream = container.add_stream(codec, rate=rate, layout="stereo") if audio else None
        if video:
            pictures.width = pictures.height = 32
            for number in range(25 * SECONDS):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number, np.uint8), format="rgb24")
                frame.pts = number
                container.mux(pictures.encode(frame))
            container.mux(pictures.encode(None))
        if audio:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound(rate).T), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = rate, 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))


def extracted(path) -> np.ndarray:
    """What `prepare_audio` makes of a file, before it is written."""
    with open_recording(str(path)) as recording:
        return np.concatenate(list(mono_blocks(recording, RATE)))


def run(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["prepare_audio.py", *map(str, arguments), "--workers", "1"])
    with pytest.raises(SystemExit) as caught:
        run_command(prepare_audio.main)
    return caught.value.code or 0
