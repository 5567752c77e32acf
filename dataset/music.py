"""Mixtures of different instruments with a cloud of every musician: index rows -> samples."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Dataset

from dataset.cache import Cache
from dataset.frames import draw_frames
from dataset.index import IndexRow
from dataset.point_transforms import PointAugmentation
from dataset.settings import FrameSettings, VoxelSettings, Window
from dataset.voxels import Voxels, load_voxels
from utils.errors import InputError, UnreadableError, WriteError
from utils.seeding import generator

GAIN = (0.5, 1.5)  # range of a source's gain in training
LEAST_MIX = 2  # sources, of --num_mix


@dataclass(frozen=True)
class SourceDraw:
    """What is read for one source: `row`, the window's first sample at audRate, the frames' numbers."""

    row: IndexRow
    window_start: int
    frames: tuple[int, ...]


@dataclass
class Sample:
    """One mixture of N sources.

    index: its number in the epoch. draws: what was read. waves: `[N, L]` float32; the mixture is their sum. clouds: K
    frames of each of the N sources. labels: the numbers of their instruments, in place of clouds. Clouds or labels may
    be followed by those of an absent instrument, which does not play.
    """

    index: int
    draws: list[SourceDraw]
    waves: np.ndarray
    clouds: list[list[Voxels]]
    labels: list[int] | None = None


class MUSICMixDataset(Dataset):
    """Mixtures by key (epoch, index): row `index` of the list with N - 1 other rows, by default of other instruments.

    Everything random depends only on (seed, epoch, index), in evaluation on (seed, index): workers, order and restarts
    change nothing.

    Args:
        rows: the index file's rows.
        training: random windows, gains and augmentations that differ from epoch to epoch.
        num_samples: mixtures in an epoch; rows repeat, or are picked evenly where there are fewer mixtures.
        listed: the mixtures of an epoch themselves, from `dataset.eval_list`; `rows` may then be empty.
        window, frames, voxels: what is heard of a recording, and seen of a performer and of a cloud.
        instruments: if any are given, a sample has labels, its sources' numbers among them, in place of clouds.
        distinct: no two sources of a mixture are the same instrument; if False, they are any rows of the list.
        with_absent: after its sources a sample has a musician whose instrument does not play in it.
        The rest: the options of the same names in `arguments.py`.

    Raises:
        InputError: fewer instruments than `num_mix`, too few frames for `frames`, an instrument that is not among
            `instruments`, or no absent one for some mixture. Unreadable files are not raised but returned in place of
            the sample, so that they cross the border of a worker process unchanged.
    """

    def __init__(
        self,
        rows: list[IndexRow],
        *,
        training: bool,
        num_samples: int,
        seed: int,
        num_mix: int,
        window: Window,
        frames: FrameSettings,
        voxels: VoxelSettings,
        augment: float = 1.0,
        cache: str = "",
        listed: list[list[SourceDraw]] | None = None,
        instruments: Sequence[str] = (),
        distinct: bool = True,
        with_absent: bool = False,
    ):
        self.listed = listed
        self.instruments, self.distinct, self.with_absent = list(instruments), distinct, with_absent
        self.rows, self.training, self.seed = rows, training, seed
        self.num_samples, self.num_mix, self.augment = num_samples, num_mix, augment
        self.window, self.frames, self.voxels = window, frames, voxels
        self.cache = Cache(cache)
        self.by_instrument: dict[str, list[IndexRow]] = {}
        for row in rows:
            self.by_instrument.setdefault(row.instrument, []).append(row)
        if listed is None:
            self._check_rows()
        if instruments:
            self._check_instruments()
        if with_absent:
            self._check_absent()

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, key: tuple[int, int]) -> Sample | InputError:
        epoch, index = key
        rng = generator(self.seed, zlib.crc32(b"train" if self.training else b"eval"), epoch, index)
        try:
            draws = self.draw(index, rng)
            waves = np.stack([self._load_wave(draw, rng) for draw in draws])
            seen = [*draws, self.draw_absent(index, draws)] if self.with_absent else draws
            if self.instruments:
                labels = [self.instruments.index(draw.row.instrument) for draw in seen]
                return Sample(index, draws, waves, [], labels)
            clouds = [self._load_clouds(draw, rng) for draw in seen]
        except UnreadableError as error:
            error.index = index
            return error
        except InputError as error:
            return error
        return Sample(index, draws, waves, clouds)

    def draw(self, index: int, rng: np.random.Generator) -> list[SourceDraw]:
        """Which rows, windows and frames make mixture `index`: N draws, of N different instruments."""
        if self.listed is not None:
            return self.listed[index]
        if self.num_samples < len(self.rows):
            index = index * len(self.rows) // self.num_samples
        if not self.distinct:
            chosen = rng.choice(len(self.rows) - 1, self.num_mix - 1, replace=False)
            others = [self.rows[(index + 1 + int(n)) % len(self.rows)] for n in chosen]
            return [self._draw_source(row, rng) for row in (self.rows[index % len(self.rows)], *others)]
        first = self.rows[index % len(self.rows)]
        others = sorted(set(self.by_instrument) - {first.instrument})
        chosen = rng.choice(len(others), self.num_mix - 1, replace=False)
        rows = [first]
        for instrument in chosen:
            candidates = self.by_instrument[others[instrument]]
            rows.append(candidates[rng.integers(len(candidates))])
        return [self._draw_source(row, rng) for row in rows]

    def draw_absent(self, index: int, draws: list[SourceDraw]) -> SourceDraw:
        """A musician whose instrument is not among those of mixture `index`; it depends on (seed, index) alone."""
        rng = generator(self.seed, zlib.crc32(b"absent"), index)
        playing = {draw.row.instrument for draw in draws}
        if self.listed is not None:
            others = [draw for mixture in self.listed for draw in mixture if draw.row.instrument not in playing]
            return others[rng.integers(len(others))]
        others = [row for row in self.rows if row.instrument not in playing]
        row = others[rng.integers(len(others))]
        return SourceDraw(row, 0, draw_frames(row.num_frames, self.frames, rng))

    def _check_absent(self) -> None:
        mixtures = self.listed or []
        names = {draw.row.instrument for draws in mixtures for draw in draws} | set(self.by_instrument)
        if len(names) <= self.num_mix:
            raise InputError(
                f"--conditioning_report 1 needs an instrument that does not play, and the list has {len(names)}: "
                f"{', '.join(sorted(names))}"
            )

    def _check_rows(self) -> None:
        if len(self.rows) < self.num_mix:
            listed = self.rows[0].origin.rpartition(":")[0] or "the list"
            raise InputError(
                f"{listed}: holds {len(self.rows)} recording(s), a mixture needs {self.num_mix}; {self._advice()}"
            )
        if self.distinct and len(self.by_instrument) < self.num_mix:
            listed = self.rows[0].origin.rpartition(":")[0] or "the list"
            raise InputError(
                f"{listed}: holds {len(self.by_instrument)} instrument(s) ({', '.join(sorted(self.by_instrument))}), "
                f"a mixture needs {self.num_mix} different ones; {self._advice()}"
            )
        frames = self.frames
        for row in self.rows:
            if row.num_frames < frames.needed:
                raise InputError(
                    f"{row.origin}: {row.num_frames} frame(s), but --num_frames {frames.count} --stride_frames "
                    f"{frames.stride} needs {frames.needed}"
                )

    def _advice(self) -> str:
        return "lower --num_mix or add recordings" if self.num_mix > LEAST_MIX else "add recordings"

    def _check_instruments(self) -> None:
        for row in [draw.row for draws in self.listed or [] for draw in draws] + self.rows:
            if row.instrument not in self.instruments:
                known = " ".join(self.instruments)
                raise InputError(f"{row.origin}: {row.instrument} is not among the instruments of the run: {known}")

    def _draw_source(self, row: IndexRow, rng: np.random.Generator) -> SourceDraw:
        start = self._draw_window(row, rng)
        return SourceDraw(row, start, draw_frames(row.num_frames, self.frames, rng))

    def _draw_window(self, row: IndexRow, rng: np.random.Generator) -> int:
        half = self.window.length // 2
        with _reading(row.audio_path, row):
            length = self.cache.recording_length(row.audio_path, self.window.rate_hz)
        if length <= self.window.length:  # too short: it is repeated until a window fits
            length *= self.window.length // length + 1
        return int(rng.integers(half + 1, max(length - half, half + 2))) - half

    def _load_wave(self, draw: SourceDraw, rng: np.random.Generator) -> np.ndarray:
        """`[L]` float32 in -1/N..1/N; with an odd audLen the last sample stays 0, as in the published system."""
        length = self.window.length // 2 * 2
        wave = np.zeros(self.window.length, dtype=np.float32)
        path = draw.row.audio_path
        with _reading(path, draw.row):
            wave[:length] = self.cache.read_window(path, draw.window_start, length, self.window.rate_hz)
        if self.training:
            wave *= np.float32(rng.uniform(*GAIN))
        return wave.clip(-1.0, 1.0) / self.num_mix

    def _load_clouds(self, draw: SourceDraw, rng: np.random.Generator) -> list[Voxels]:
        augmentation = PointAugmentation.draw(rng, self.augment) if self.training and self.augment else None
        settings = (self.voxels, augmentation, rng, self.cache.read_points)
        clouds = []
        for path in map(draw.row.frame_path, draw.frames):
            with _reading(path, draw.row):
                clouds.append(load_voxels(path, *settings))
        return clouds


@contextmanager
def _reading(path: str, row: IndexRow) -> Iterator[None]:
    """Turns an `InputError` into an `UnreadableError` that says which line of the list leads to the file."""
    try:
        yield
    except WriteError:  # of the cache: nothing is wrong with the row
        raise
    except InputError as error:
        raise UnreadableError(f"{error}; fix the file or remove {row.origin} from the list", path) from error
