"""A signal that comes in blocks, at another sampling rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import soxr


def resample(blocks: Iterable[np.ndarray], from_hz: int, to_hz: int) -> Iterator[np.ndarray]:
    """Blocks `[..., n]` float32 of one signal at `from_hz` -> blocks `[..., n']` at `to_hz`, without delay.

    Joined, they are what soxr makes of the whole signal: its length times `to_hz / from_hz`, rounded.
    """
    if from_hz == to_hz:
        yield from blocks
        return
    stream, shape = None, ()
    for block in blocks:
        if not block.size:
            continue
        if stream is None:
            shape = block.shape[:-1]
            stream = soxr.ResampleStream(from_hz, to_hz, math.prod(shape), dtype="float32", quality="VHQ")
        yield _rows(stream.resample_chunk(_frames(block)), shape)
    if stream is not None:
        yield _rows(stream.resample_chunk(np.zeros((0, math.prod(shape)), dtype=np.float32), last=True), shape)


def pieces(blocks: Iterable[np.ndarray], most: int) -> Iterator[np.ndarray]:
    """The same signal in blocks `[..., n]` of at most `most` samples."""
    for block in blocks:
        for start in range(0, block.shape[-1], most):
            yield block[..., start : start + most]


def fit(blocks: Iterable[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """The same blocks `[..., n]`, cut or padded with zeros so that they hold `length` samples in all."""
    done, shape = 0, ()
    for block in blocks:
        shape, block = block.shape[:-1], block[..., : length - done]
        done += block.shape[-1]
        yield block
    if done < length:
        yield np.zeros((*shape, length - done), dtype=np.float32)


def _frames(block: np.ndarray) -> np.ndarray:
    """`[..., n]` -> `[n, channels]`, as soxr takes it."""
    return np.ascontiguousarray(block.reshape(-1, block.shape[-1]).T, dtype=np.float32)


def _rows(frames: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`[n, channels]` -> `[*shape, n]`."""
    return frames.T.reshape(*shape, -1)
