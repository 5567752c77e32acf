"""Stems of any length, block by block, as a listener hears them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

import numpy as np
from scipy.signal import oaconvolve

from spatial.geometry import Listener, Path, seen_from
from spatial.room import Room
from utils.errors import InputError

SPEED_OF_SOUND_M_S = 343.0
NEAREST_M = 1.0  # nearer than this a source becomes no louder
FARTHEST_M = 340.0
BLOCK_STILL, BLOCK_MOVING = 2**15, 2**11  # samples; what moves is cross-faded from block to block


class Target(Protocol):
    """What is rendered to: `Binaural`, `Ambisonics` or `Loudspeakers` of this package."""

    num_channels: int

    def filters(self, directions: np.ndarray) -> np.ndarray:
        """Impulse responses `[I, channels, taps]` for unit vectors `[I, 3]` in the listener's axes."""


class SceneStream:
    """What a listener hears of N stems; its length is the number of blocks.

    Iterating yields `[channels, n]` float32; all n add up to `num_samples`. Amplitudes fall as 1/r and are those of the
    stem at 1 m and nearer; sounds arrive r / 343 m/s later, to the nearest sample. Moving sources and listeners are
    cross-faded between places: pitch does not change.

    Args:
        read: `(n, start, length)` -> samples `start .. start + length` of stem n, `[length]`.
        num_samples: of every stem. rate_hz: their rate.
        paths: of the N musicians.
        room: with its reflections, or None.

    Raises:
        InputError: somebody is farther away than 340 m; what `read` raises.
    """

    def __init__(
        self,
        read: Callable[[int, int, int], np.ndarray],
        num_samples: int,
        rate_hz: int,
        paths: Sequence[Path],
        listener: Listener,
        target: Target,
        room: Room | None = None,
    ):
        self.read, self.num_samples, self.rate_hz = read, num_samples, rate_hz
        self.paths, self.listener, self.target, self.room = list(paths), listener, target, room
        self.block = BLOCK_MOVING if listener.moves or any(path.moves for path in paths) else BLOCK_STILL

    def __len__(self) -> int:
        return -(-self.num_samples // self.block)

    def __iter__(self) -> Iterator[np.ndarray]:
        voices = [_Voice(partial(self.read, n), path.moves or self.listener.moves) for n, path in enumerate(self.paths)]
        for start in range(0, self.num_samples, self.block):
            length = min(self.block, self.num_samples - start)
            total = np.zeros((self.target.num_channels, length), dtype=np.float32)
            for path, voice in zip(self.paths, voices, strict=True):
                total += voice.hear(start, length, lambda sample, path=path: self.response(path, sample / self.rate_hz))
            yield total

    def response(self, path: Path, seconds: float) -> np.ndarray:
        """The impulse response `[channels, taps]` from a musician to the listener at a time."""
        place = path.at(seconds)
        places, amplitudes = (place[None], np.ones(1)) if self.room is None else self.room.images(place)
        seen = seen_from(places, *self.listener.at(seconds))  # [I, 3]
        distances = np.linalg.norm(seen, axis=1)
        if distances.min() > FARTHEST_M:
            raise InputError(f"a musician {distances.min():.3g} m from the listener; expected at most {FARTHEST_M:g} m")
        is_near = distances <= FARTHEST_M  # images beyond are not heard
        seen, distances, amplitudes = seen[is_near], distances[is_near], amplitudes[is_near]
        is_here = distances < 1e-6
        directions = np.where(is_here[:, None], [1.0, 0, 0], seen / np.where(is_here, 1, distances)[:, None])
        filters = self.target.filters(directions) * (amplitudes / distances.clip(min=NEAREST_M))[:, None, None]
        delays = (distances / SPEED_OF_SOUND_M_S * self.rate_hz).round().astype(int)
        taps = filters.shape[-1]
        response = np.zeros((self.target.num_channels, delays.max() + taps), dtype=np.float32)
        for one, delay in zip(filters, delays, strict=True):
            response[:, delay : delay + taps] += one
        return response


class _Voice:
    """One stem on its way, with as much of its past as still sounds."""

    def __init__(self, read: Callable[[int, int], np.ndarray], moves: bool):
        self.read, self.moves = read, moves
        self.past = np.zeros(0, dtype=np.float32)
        self.response: np.ndarray | None = None

    def hear(self, start: int, length: int, response_at: Callable[[int], np.ndarray]) -> np.ndarray:
        """What is heard of samples `start .. start + length`: `[channels, length]`."""
        wave = self.read(start, length)
        before = self.response if self.response is not None else response_at(start)
        after = response_at(start + length) if self.moves else before
        most = max(before.shape[-1], after.shape[-1], len(self.past) + 1)
        self.past = np.concatenate([np.zeros(most - 1 - len(self.past), dtype=np.float32), self.past])
        heard = self._convolve(wave, before)
        if after is not before:
            rise = (np.arange(length, dtype=np.float32) + 0.5) / length
            heard = (1 - rise) * heard + rise * self._convolve(wave, after)
        self.past = np.concatenate([self.past, wave])[-(most - 1) :] if most > 1 else self.past
        self.response = after
        return heard

    def _convolve(self, wave: np.ndarray, response: np.ndarray) -> np.ndarray:
        taps = response.shape[-1]
        known = np.concatenate([self.past[len(self.past) - (taps - 1) :], wave])
        return oaconvolve(known[None], response, mode="valid", axes=1).astype(np.float32)
