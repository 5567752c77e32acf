"""Which frames of a performer a sample takes: K of them, evenly spaced about a random one."""

from __future__ import annotations

import numpy as np

from dataset.settings import FrameSettings


def draw_frames(available: int, frames: FrameSettings, rng: np.random.Generator) -> tuple[int, ...]:
    """The numbers of K frames out of 0 .. available - 1, where at least `frames.needed` are available."""
    half = frames.count // 2
    margin = half * frames.stride
    last = available - margin - 1
    centre = int(rng.integers(min(margin + 1, last), last + 1))
    return tuple(centre + offset * frames.stride for offset in range(-half, frames.count - half))
