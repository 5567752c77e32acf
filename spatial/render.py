"""Stems in memory -> what a listener hears."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path as FilePath

import numpy as np

from spatial.ambisonics import HIGHEST_ORDER, Ambisonics
from spatial.geometry import Listener, Path, numbers
from spatial.hrtf import read_hrtf
from spatial.loudspeakers import Loudspeakers
from spatial.room import Room
from spatial.stream import SceneStream, Target
from utils.errors import InputError

TARGETS = ("binaural", "ambisonics", "stereo", "5.1", "7.1.4")


def make_target(to: str, rate_hz: int, hrtf: str | FilePath | None = None, order: int = HIGHEST_ORDER) -> Target:
    """What turns directions into channels.

    Args:
        to: one of `TARGETS`.
        hrtf: for "binaural", a SOFA file; None: the KEMAR head.
        order: for "ambisonics", 1 to 3.

    Raises:
        InputError: an unknown target or order; as `spatial.hrtf.read_hrtf`.
    """
    if to == "binaural":
        return read_hrtf(hrtf, rate_hz)
    if to == "ambisonics":
        if not isinstance(order, int) or not 1 <= order <= HIGHEST_ORDER:
            raise InputError(f"ambisonics of order {order}; expected 1 to {HIGHEST_ORDER}")
        return Ambisonics(order)
    if to not in TARGETS:
        raise InputError(f"to {to!r}; expected one of {', '.join(TARGETS)}")
    return Loudspeakers(to)


def render(
    stems: np.ndarray,
    rate_hz: int,
    positions_m: np.ndarray | Sequence[Path],
    listener: Listener,
    to: str = "binaural",
    *,
    hrtf: str | FilePath | None = None,
    order: int = HIGHEST_ORDER,
    room: Room | None = None,
) -> np.ndarray:
    """What a listener hears of stems, each of them from one place.

    Args:
        stems: `[N, L]`; of stems `[N, channels, L]` the mean of the channels is heard.
        rate_hz: of the stems.
        positions_m: `[N, 3]`, x to the right, y up, z towards the viewer, as `Musician.centroid_m`; or N paths.
        listener: where the head is, and where it looks.
        to: "binaural" (left, right), "ambisonics" (AmbiX: ACN, SN3D), "stereo", "5.1" or "7.1.4".
        hrtf, order: as `make_target` takes them.
        room: with its reflections, or None.

    Returns:
        `[channels, L]` float32, aligned with the stems: sounds arrive r / 343 m/s later.

    Raises:
        InputError: wrong shapes or values; as `make_target` and `SceneStream`.
    """
    waves = numbers(stems, "stems").astype(np.float32)
    waves = waves.mean(axis=1) if waves.ndim == 3 else waves
    if waves.ndim != 2 or not waves.size or not np.isfinite(waves).all():
        raise InputError(f"stems are [N, samples], finite, not {list(np.shape(stems))}")
    if isinstance(positions_m, Path):
        raise InputError("positions_m is one path; expected one for each stem")
    paths = [one if isinstance(one, Path) else Path.still(one) for one in positions_m]
    if len(paths) != len(waves):
        raise InputError(f"{len(paths)} positions for {len(waves)} stems")
    if not 1 <= rate_hz < np.inf:
        raise InputError(f"a rate of {rate_hz} Hz; expected 1 or more")
    target = make_target(to, rate_hz, hrtf, order)
    stream = SceneStream(
        lambda n, start, length: waves[n, start : start + length],
        *(waves.shape[1], rate_hz, paths, listener, target, room),
    )
    return np.concatenate(list(stream), axis=1)
