"""How mixtures are made: the settings that the parts of the data set share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """What is heard of a recording: `length` samples at `rate_hz`; an odd length ends with a zero, as published."""

    length: int
    rate_hz: int


@dataclass(frozen=True)
class FrameSettings:
    """Which frames are seen of a performer: `count` (K) of them, with `stride` frames from one to the next."""

    count: int
    stride: int

    @property
    def needed(self) -> int:
        """How many frames a performer must have."""
        return 2 * (self.count // 2) * self.stride + 1


@dataclass(frozen=True)
class VoxelSettings:
    """What is seen of a cloud: voxels of `size_m` metres, whose features are its colours or the points themselves."""

    size_m: float
    colours: bool
