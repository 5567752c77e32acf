"""A picture of one separation: the mixture, and for each musician the cloud, the truth and the estimate.

Reads a folder that an evaluation wrote below `ckpt/<run>/visualization/`; given the run's folder, it takes the
mixture with the median SDR improvement of those written.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse
import os

import numpy as np
import soundfile
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from arguments import run_argument
from dataset.points import read_cloud
from reports.evaluated import read_evaluation
from utils.errors import InputError, run_command
from utils.figures import save_figure
from utils.files import fault_of_file, fault_of_folder
from utils.options import ArgumentParser, picture, whole
from utils.spectrogram import stft

RANGE_DB = 60.0
LOWEST_HZ = 60.0


def median_mixture(run: Path) -> Path:
    """The folder of the mixture whose SDR improvement is the median of those an evaluation of `run` wrote."""
    drawn = [mixture for mixture in read_evaluation(run).scored if mixture.folder]
    if not drawn:
        raise InputError(f"{run / 'visualization'}: holds no scored mixture; evaluate the run with --num_vis 1 or more")
    drawn.sort(key=lambda mixture: mixture.improvement)
    return drawn[len(drawn) // 2].folder


def instruments_of(folder: Path) -> list[str]:
    """Who plays in the mixture of a folder below a run's `visualization/`; `source 1`, ... where no scores tell."""
    try:
        found = {mixture.folder: mixture.instruments for mixture in read_evaluation(folder.parent.parent).mixtures}
        return found[folder]
    except (InputError, KeyError):
        return [f"source {n + 1}" for n in range(len(list(folder.glob("pred*.wav"))))]


def read_wave(path: Path) -> tuple[np.ndarray, int]:
    """Waveform `[L]` and its rate in Hz."""
    try:
        if fault := fault_of_file(path):
            raise InputError(f"{path}: cannot be read ({fault}); expected a folder that an evaluation wrote")
        return soundfile.read(os.fsencode(path), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path}: cannot be read ({error.error_string}); evaluate the run again") from error


def draw_spectrogram(axes: Axes, path: Path, title: str, loudest: float, n_fft: int, hop: int) -> None:
    """Draws the magnitude of a recording in dB below `loudest`, frequencies on a logarithmic scale."""
    wave, rate_hz = read_wave(path)
    magnitude = stft(torch.from_numpy(wave), n_fft, hop).abs().numpy()  # [F, T]
    level_db = 20 * np.log10(np.maximum(magnitude / loudest, 10 ** (-RANGE_DB / 20)))
    seconds = np.arange(magnitude.shape[1]) * hop / rate_hz
    hz = np.arange(magnitude.shape[0]) * rate_hz / n_fft
    axes.pcolormesh(seconds, hz, level_db, cmap="magma", vmin=-RANGE_DB, vmax=0, shading="nearest", rasterized=True)
    axes.set(title=title, yscale="log", ylim=(LOWEST_HZ, rate_hz / 2), ylabel="Hz", xlabel="s")
    axes.set_yticks([100, 300, 1000, 3000], ["100", "300", "1k", "3k"])
    axes.minorticks_off()


def draw_cloud(axes: Axes, path: Path, title: str) -> None:
    """Draws a cloud from the front: x to the right, y up, near points over far ones."""
    xyz, rgb = read_cloud(str(path))
    order = np.argsort(xyz[:, 2])
    colours = "#3b6ea5" if rgb is None else rgb[order]
    axes.scatter(xyz[order, 0], xyz[order, 1], c=colours, s=1.2, linewidths=0)
    axes.set(title=title, aspect="equal", xticks=[], ylabel="m", facecolor="#e8e8e8")


def plot_mixture(folder: Path, n_fft: int, hop: int) -> Figure:
    """The figure of one mixture: a row for each source."""
    sources = len(list(folder.glob("pred*.wav")))
    if not sources:
        raise InputError(f"{folder}: holds no pred1.wav; expected a folder that an evaluation wrote")
    names = instruments_of(folder)
    loudest = float(stft(torch.from_numpy(read_wave(folder / "mix.wav")[0]), n_fft, hop).abs().max())
    figure = Figure(figsize=(13, 3.4 * sources), layout="constrained")
    grid = figure.add_gridspec(sources, 4, width_ratios=[1, 0.7, 1, 1])
    draw_spectrogram(figure.add_subplot(grid[:, 0]), folder / "mix.wav", "mixture", loudest, n_fft, hop)
    for n in range(sources):
        draw_cloud(figure.add_subplot(grid[n, 1]), folder / f"point{n + 1}_frame1.ply", f"{names[n]}: cloud")
        for column, (part, title) in enumerate((("pred", "separated"), ("gt", "truth")), 2):
            axes = figure.add_subplot(grid[n, column])
            draw_spectrogram(axes, folder / f"{part}{n + 1}.wav", f"{names[n]}: {title}", loudest, n_fft, hop)
    return figure


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("folder", type=run_argument, help="ckpt/<run>, or one mixture below ckpt/<run>/visualization")
    parser.add_argument("--output", type=picture, default=Path("separation.png"), help="picture to write")
    parser.add_argument("--stft_frame", type=whole(2), default=1022, help="STFT window in samples")
    parser.add_argument("--stft_hop", type=whole(1), default=256, help="STFT hop in samples")
    options = parser.parse_args()
    folder = options.folder
    if fault := fault_of_folder(folder):
        raise InputError(f"{folder}: {fault}; expected a folder that an evaluation wrote")
    if (folder / "visualization").is_dir():
        folder = median_mixture(folder)
    figure = plot_mixture(folder, options.stft_frame, options.stft_hop)
    save_figure(figure, options.output, dpi=80)
    print(f"wrote {options.output}: {folder.name}")


if __name__ == "__main__":
    run_command(main)
