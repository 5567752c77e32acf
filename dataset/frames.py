"""Which frames of a performer a sample takes: K of them, evenly spaced about a random one."""

from __future__ import annotations

import numpy as np


def frames_needed(num_frames: int, stride_frames: int) -> int:
    """How many frames there must be for K `num_frames` of them with `stride_frames` from one to the next."""
    return 2 * (num_frames // 2) * stride_frames + 1


def draw_frames(count: int, num_frames: int, stride_frames: int, rng: np.random.Generator) -> tuple[int, ...]:
    """The numbers of K frames out of 0 .. count - 1, where `count` is at least `frames_needed`."""
    margin = (num_frames // 2) * stride_frames
    last = count - margin - 1
    centre = int(rng.integers(min(margin + 1, last), last + 1))
    offsets = range(-(num_frames // 2), num_frames - num_frames // 2)
    return tuple(centre + offset * stride_frames for offset in offsets)
