"""Whether separating a file gives the scores of the evaluation: the mixtures of a run's metrics.csv, as files."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from dataset.audio import read_window, recording_length
from dataset.collate import collate_frames
from dataset.eval_list import read_eval_list
from dataset.music import SourceDraw
from dataset.points import read_cloud
from dataset.voxels import load_voxels
from separation import Separator
from utils.errors import InputError
from utils.metrics import score
from utils.progress import Progress

CASES = ("evaluation", "a file of the window", "a longer file")


def benchmark_agreement(options: argparse.Namespace) -> dict:
    """Mean SDR of the evaluated windows, of files that hold nothing else, and of files three times as long."""
    if not options.run:
        raise InputError("agreement needs --run, the folder of an evaluated run")
    separator = Separator.from_run(options.run, options.device)
    sizes = {"num_mix": separator.num_mix, "num_frames": separator.frames.count, "window": separator.window}
    mixtures = read_eval_list(Path(options.run) / "metrics.csv", **sizes)
    rows = [sdr_of_mixture(separator, draws) for draws in Progress(mixtures, "mixtures")]
    scored = np.array([row for row in rows if row is not None])  # [mixtures, 2, cases]
    if not len(scored):
        raise InputError(f"{options.run}: not one of its mixtures can be scored")
    whole, inner = scored.mean(axis=0)
    print(f"{options.run}: SDR in dB, mean of {len(scored)} mixtures")
    print(f"{'':24}{'whole window':>14}{'difference':>12}{'its inside':>14}{'difference':>12}")
    for n, case in enumerate(CASES):
        print(f"{case:24}{whole[n]:14.2f}{whole[n] - whole[0]:12.2f}{inner[n]:14.2f}{inner[n] - inner[0]:12.2f}")
    print("the inside leaves out two STFT windows at either end, where the evaluation fades the masks out")
    return {"cases": CASES, "whole_sdr_db": whole.tolist(), "inside_sdr_db": inner.tolist(), "mixtures": len(scored)}


def sdr_of_mixture(separator: Separator, draws: list[SourceDraw]) -> list[list[float]] | None:
    """SDR of each of CASES in the whole window, and in its inside; None if it cannot be scored."""
    net, rate_hz = separator.net, separator.window.rate_hz
    length = separator.window.length // 2 * 2
    around = []  # the window, between one before and one after it
    for draw in draws:
        start = (draw.window_start - length) % recording_length(draw.row.audio_path, rate_hz)
        around.append(read_window(draw.row.audio_path, start, 3 * length, rate_hz))
    around = np.stack(around).clip(-1, 1) / len(draws)  # [N, 3 windows]
    window = around[:, length : 2 * length]
    clouds = [[read_cloud(draw.row.frame_path(frame)) for frame in draw.frames] for draw in draws]
    estimates = [
        evaluated(separator, window, draws),
        separator.separate(window.sum(axis=0, keepdims=True), rate_hz, clouds)[:, 0],
        separator.separate(around.sum(axis=0, keepdims=True), rate_hz, clouds)[:, 0, length : 2 * length],
    ]
    last = estimates[0].shape[1]
    parts = (slice(0, last), slice(2 * net.stft_frame, last - 2 * net.stft_frame))
    scores = [[_sdr(window[:, part], estimate[:, part]) for estimate in estimates] for part in parts]
    return None if any(value is None for row in scores for value in row) else scores


@torch.no_grad()
def evaluated(separator: Separator, sources: np.ndarray, draws: list[SourceDraw]) -> np.ndarray:
    """The estimates `[N, L']` of an evaluation: sources `[N, L]`, which an audLen that is odd follows with a zero."""
    waves = np.pad(sources, ((0, 0), (0, separator.window.length - sources.shape[1])))
    mixture = torch.from_numpy(waves.sum(axis=0, keepdims=True)).to(separator.device)
    clouds = [[[load_voxels(draw.row.frame_path(frame), separator.voxels) for frame in draw.frames]] for draw in draws]
    voxels = tuple(part.to(separator.device) for part in collate_frames(clouds))
    result = separator.net(mixture, voxels)
    return separator.net.apply_masks(result.spectrum, result.masks)[:, 0].cpu().numpy()


def _sdr(sources: np.ndarray, estimates: np.ndarray) -> float | None:
    waves = [torch.from_numpy(np.ascontiguousarray(part)) for part in (sources, estimates)]
    result = score(waves[0][:, None], waves[1][:, None], waves[0].sum(dim=0, keepdim=True))[0]
    return None if result is None else float(result["sdr"].mean())
