"""Compares runs of different sampling rates on the same mixtures: over the full band, and where the lowest rate ends.

    python scripts/compare_bands.py ckpt/<full-band run> ckpt/<published rate>

The mixtures are those that the first run was evaluated on, at its rate. Each run separates them as files: resampled to
its own rate and back. Scores below half of the lowest rate are of estimates and sources resampled to that rate.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse
from collections.abc import Sequence

import numpy as np
import soxr
import torch

from arguments import run_argument
from dataset.audio import read_window
from dataset.eval_list import read_eval_list
from dataset.music import SourceDraw
from dataset.points import read_cloud
from reports.comparison import paired_difference, short_names
from separation import Separator
from utils.errors import InputError, run_command
from utils.metrics import score
from utils.options import ArgumentParser
from utils.progress import Progress


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", metavar="RUN", type=run_argument, help="folder of an evaluated run")
    parser.add_argument("others", metavar="OTHER", nargs="+", type=run_argument, help="folders of runs")
    parser.add_argument("--device", default="auto", choices=["auto", "cuda", "cpu", "mps"])
    options = parser.parse_args()
    runs = [options.first, *options.others]
    separators = [Separator.from_run(run, options.device) for run in runs]
    first = separators[0]
    sizes = {"num_mix": first.num_mix, "num_frames": first.frames.count, "window": first.window}
    mixtures = read_eval_list(options.first / "metrics.csv", **sizes)
    for run, separator in zip(runs, separators, strict=True):
        if separator.frames.count != first.frames.count:
            raise InputError(f"{run}: takes {separator.frames.count} frames, {options.first} {first.frames.count}")
    lowest_hz = min(separator.window.rate_hz for separator in separators)
    found = [scores_of(separators, draws, lowest_hz) for draws in Progress(mixtures, "mixtures")]
    scored = np.array([scores for scores in found if scores is not None])  # [mixtures, 2 bands, mixture and runs]
    if not len(scored):
        raise InputError(f"{options.first}: not one of its mixtures can be scored")
    print(f"mean SDR of {len(scored)} mixtures in dB, and the improvement over the mixture")
    print(f"{'up to ' + _khz(first.window.rate_hz):>20}{'up to ' + _khz(lowest_hz):>20}")
    gains, names = scored - scored[:, :, :1], short_names(runs)
    for n, name in enumerate(("the mixture", *names)):
        cells = (f"{scored[:, band, n].mean():10.2f}{gains[:, band, n].mean():+10.2f}" for band in (0, 1))
        print("".join(cells) + f"  {name}")
    for n, name in enumerate(names[1:], 2):
        told = [paired_difference(scored[:, band, 1].tolist(), scored[:, band, n].tolist()) for band in (0, 1)]
        print(f"{name} less {names[0]}: {told[0]}; up to {_khz(lowest_hz)}: {told[1]}")


def scores_of(separators: Sequence[Separator], draws: list[SourceDraw], lowest_hz: int) -> list[list[float]] | None:
    """SDR of the mixture and of each run's stems, over the full band and up to half of `lowest_hz`; None if a source is
    silent.
    """
    window = separators[0].window
    waves = [read_window(draw.row.audio_path, draw.window_start, window.length, window.rate_hz) for draw in draws]
    sources = np.stack(waves).clip(-1, 1) / len(draws)  # [N, L], as the data set mixes them
    mixture = sources.sum(axis=0, keepdims=True)
    clouds = [[read_cloud(draw.row.frame_path(frame)) for frame in draw.frames] for draw in draws]
    estimates = [np.repeat(mixture, len(draws), axis=0)]
    estimates += [separator.separate(mixture, window.rate_hz, clouds)[:, 0] for separator in separators]
    low = [_resampled(waves, window.rate_hz, lowest_hz) for waves in (sources, *estimates)]
    rows = [[_sdr(sources, waves) for waves in estimates], [_sdr(low[0], waves) for waves in low[1:]]]
    return None if any(value is None for row in rows for value in row) else rows


def _resampled(waves: np.ndarray, rate_hz: int, to_hz: int) -> np.ndarray:
    """`[N, L] -> [N, L']`."""
    return waves if rate_hz == to_hz else soxr.resample(waves.T, rate_hz, to_hz, quality="VHQ").T


def _sdr(sources: np.ndarray, estimates: np.ndarray) -> float | None:
    """The mean over N sources `[N, L]`; None where they cannot be scored."""
    truth, found = (torch.from_numpy(np.ascontiguousarray(part)) for part in (sources, estimates))
    result = score(truth[:, None], found[:, None], truth.sum(dim=0, keepdim=True))[0]
    return None if result is None else float(result["sdr"].mean())


def _khz(rate_hz: int) -> str:
    return f"{rate_hz / 2000:.1f} kHz"


if __name__ == "__main__":
    run_command(main)
