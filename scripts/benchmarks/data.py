"""The data loader: MUSICMixDataset against a plain loader that reads whole files, and the cost of clouds."""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch
from demo_data import bodies, voices

from benchmarks.plain_loader import STFT_FRAME, STFT_HOP, PlainLoader, hsv_converters, ply_readers
from benchmarks.timing import on_one_thread, time_in_turn
from dataset.cache import Cache
from dataset.index import IndexRow
from dataset.music import MUSICMixDataset
from dataset.point_transforms import PointAugmentation
from dataset.points import ply_bytes, read_points
from dataset.settings import FrameSettings, VoxelSettings, Window
from dataset.voxels import load_voxels
from utils.leftovers import scratch
from utils.seeding import generator
from utils.spectrogram import stft

INSTRUMENTS = ("cello", "violin", "guitar")
RECORDINGS, FRAMES = 3, 4  # recordings and frames of each instrument
SECONDS, RATE_HZ = 110.0, voices.SAMPLE_RATE_HZ
POINTS, VOXEL_SIZE_M = 14_000, 0.02
AUD_LEN = 65_535
SAMPLES = 4  # mixtures in one timing
CPU = torch.device("cpu")


def benchmark_data(options: argparse.Namespace) -> dict:
    """Samples a second, and milliseconds of two clouds; one process, one thread, without and with a cache."""
    with scratch("benchmark") as folder:
        write_files(folder)
        figures = on_one_thread(measure, folder, options.pairs)
    print(
        f"{SECONDS:g} s mp3 recordings, binary PLY clouds of {POINTS} points, all augmentations, 2 sources, audLen "
        f"{AUD_LEN}; one process, one thread; medians of {options.pairs} rounds"
    )
    print(
        f"plain loader: whole recordings by soundfile, librosa's STFT of every waveform, clouds by "
        f"{figures['ply_reader']}, HSV by {figures['hsv']} for every augmentation\n"
        "ours leaves the STFT to the model; the last column counts it (torch, CPU) on our side too\n"
    )
    print(f"{'samples a second':<18}{'cache':>6}{'plain':>9}{'ours':>9}{'ratio':>8}{'ratio with STFT':>18}")
    for row in figures["samples"]:
        print(
            f"{row['features']:<18}{row['cache']:>6}{row['plain_per_s']:9.1f}{row['ours_per_s']:9.1f}"
            f"{row['ratio']:8.1f}{row['ratio_with_stft']:18.1f}"
        )
    readers = list(figures["reads_ms"])
    print(f"\n{'two clouds, ms':<18}{'cache':>6}{'ours':>9}" + "".join(f"{f'/ {name} read':>16}" for name in readers))
    for row in figures["clouds"]:
        cells = "".join(f"{row['ratios'][name]:16.2f}" for name in readers)
        print(f"{row['features']:<18}{row['cache']:>6}{row['ours_ms']:9.2f}{cells}")
    reads = ", ".join(f"{name} {milliseconds:.2f} ms" for name, milliseconds in figures["reads_ms"].items())
    print(f"the two file reads alone: {reads}")
    if "open3d" not in readers:
        print("open3d, the usual reader and the yardstick for clouds, is not installed: pip install open3d adds it")
    return figures


def write_files(folder: Path, rate_hz: int = RATE_HZ) -> None:
    """Recordings and clouds of the benchmark, of the usual layout, the same on every run."""
    for number, instrument in enumerate(INSTRUMENTS):
        for take in range(RECORDINGS):
            path = audio_path(folder, instrument, take)
            path.parent.mkdir(parents=True, exist_ok=True)
            wave = voices.recording(instrument, SECONDS, generator(0, number, take), rate_hz)
            soundfile.write(path, wave, rate_hz, format="MP3", subtype="MPEG_LAYER_III")
        frames = frames_path(folder, instrument)
        frames.mkdir(parents=True)
        rng = generator(1, number)
        performer = bodies.draw_performer(instrument, rng)
        for frame in range(FRAMES):
            xyz, rgb = bodies.cloud(performer, frame, rng)
            chosen = np.sort(rng.integers(len(xyz), size=POINTS))
            dense = xyz[chosen] + rng.normal(0.0, 0.003, (POINTS, 3)).astype(np.float32)
            (frames / f"{frame:05d}.ply").write_bytes(ply_bytes(dense, rgb[chosen]))


def audio_path(folder: Path, instrument: str, take: int) -> Path:
    return folder / "audio" / instrument / f"{take}.mp3"


def frames_path(folder: Path, instrument: str) -> Path:
    return folder / "frames" / instrument / "person_1"


def index_rows(folder: str) -> list[IndexRow]:
    """The rows of an index file of what `write_files` wrote."""
    return [
        IndexRow(str(audio_path(folder, name, take)), str(frames_path(folder, name)), FRAMES)
        for name in INSTRUMENTS
        for take in range(RECORDINGS)
    ]


def measure(folder: str, rounds: int) -> dict:
    """All figures of the benchmark, for files that `write_files` wrote into `folder`."""
    rows = index_rows(folder)
    cache = os.path.join(folder, "cache")
    fill(rows, cache)
    samples = []
    for colours in (False, True):
        plain = PlainLoader(rows, AUD_LEN, RATE_HZ, VOXEL_SIZE_M, colours)
        ours = [dataset(rows, colours, name) for name in ("", cache)]
        steps = [draw_samples(plain), *map(draw_samples, ours), *(partial(with_stft, draw_samples(d)) for d in ours)]
        plain_s, *ours_s = time_in_turn(steps, rounds, CPU)
        for number, cached in enumerate(("no", "yes")):
            samples.append(
                {
                    "features": "colours" if colours else "depth",
                    "cache": cached,
                    "plain_per_s": SAMPLES / statistics.median(plain_s),
                    "ours_per_s": SAMPLES / statistics.median(ours_s[number]),
                    "ratio": median_ratio(plain_s, ours_s[number]),
                    "ratio_with_stft": median_ratio(plain_s, ours_s[number + 2]),
                }
            )
    return {
        "ply_reader": next(iter(ply_readers())),
        "hsv": hsv_converters()[0],
        "samples": samples,
        **measure_clouds(rows, cache, rounds),
    }


def measure_clouds(rows: list[IndexRow], cache: str, rounds: int) -> dict:
    """Reading, augmenting and voxelising two clouds, against reading the two files."""
    paths = [rows[0].frame_path(0), rows[-1].frame_path(0)]
    readers = {**ply_readers(), "ours": read_points}
    steps = [partial(_each, reader, paths) for reader in readers.values()]
    kinds = [(colours, cached) for colours in (False, True) for cached in ("no", "yes")]
    rng = generator(0)
    for colours, cached in kinds:
        read = Cache(cache if cached == "yes" else None).read_points
        steps.append(partial(_each, lambda path, c=colours, r=read: voxels(path, c, r, rng), paths))
    seconds = time_in_turn(steps, 20 * rounds, CPU)
    reads = dict(zip(readers, seconds, strict=False))
    clouds = [
        {
            "features": "colours" if colours else "depth",
            "cache": cached,
            "ours_ms": 1e3 * statistics.median(taken),
            "ratios": {name: median_ratio(taken, read) for name, read in reads.items()},
        }
        for (colours, cached), taken in zip(kinds, seconds[len(readers) :], strict=True)
    ]
    return {"clouds": clouds, "reads_ms": {name: 1e3 * statistics.median(read) for name, read in reads.items()}}


def voxels(path: str, colours: bool, read: Callable, rng: np.random.Generator) -> None:
    """An augmented cloud as training makes it."""
    load_voxels(path, VoxelSettings(VOXEL_SIZE_M, colours), PointAugmentation.draw(rng), rng, read)


def _each(function: Callable[[str], object], paths: list[str]) -> None:
    for path in paths:
        function(path)


def dataset(rows: list[IndexRow], colours: bool, cache: str) -> MUSICMixDataset:
    """Ours, in training."""
    return MUSICMixDataset(
        rows,
        training=True,
        num_samples=len(rows),
        seed=0,
        num_mix=2,
        window=Window(AUD_LEN, RATE_HZ),
        frames=FrameSettings(count=1, stride=1),
        voxels=VoxelSettings(VOXEL_SIZE_M, colours),
        cache=cache,
    )


def fill(rows: list[IndexRow], folder: str) -> None:
    """Makes every entry of the cache."""
    cache = Cache(folder)
    for row in rows:
        cache.recording_length(row.audio_path, RATE_HZ)
        for frame in range(row.num_frames):
            cache.read_points(row.frame_path(frame))


def draw_samples(loader: MUSICMixDataset | PlainLoader) -> Callable[[], list]:
    """A step that makes the next SAMPLES samples of a loader; every call draws others."""
    epoch = 0

    def run() -> list:
        nonlocal epoch
        epoch += 1
        made = [loader[(epoch, (epoch * SAMPLES + n) % len(loader))] for n in range(SAMPLES)]
        assert not any(isinstance(sample, Exception) for sample in made), made
        return made

    return run


def with_stft(draw: Callable[[], list]) -> None:
    """A step of ours and, for every sample, spectrograms of mixture and sources as the model makes them."""
    for sample in draw():
        waves = torch.from_numpy(np.concatenate([sample.waves.sum(axis=0, keepdims=True), sample.waves]))
        stft(waves, STFT_FRAME, STFT_HOP).abs()


def median_ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))
