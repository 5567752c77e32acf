"""Scores stems against the true ones, by every score there is, with the scores of the mixture before separation.

    python scripts/score_stems.py --stems out --truth data/demo/scene/stems --mixture data/demo/scene/mixture.wav

Every WAV or FLAC file of --truth is a source; the file of the same name in --stems is its estimate. Channels are
averaged, and all are brought to the rate of the mixture, or to --audRate.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse

import numpy as np
import torch

from dataset.audio import read_window, recording_length, recording_rate
from utils.errors import InputError, run_command
from utils.files import fault_of_folder
from utils.metrics import METRICS, Scores, score, units
from utils.options import ArgumentParser, whole

SUFFIXES = (".wav", ".flac")
LABELS = {
    column: metric.label if column == metric.name else f"{metric.label} before"
    for metric in METRICS.values()
    for column in metric.columns
}


def main() -> None:
    options = parse_arguments()
    for folder in (options.stems, options.truth):
        if fault := fault_of_folder(folder):
            raise InputError(f"{folder}: {fault}; expected one with WAV or FLAC files")
    truths = sorted(path for path in options.truth.iterdir() if path.suffix.lower() in SUFFIXES)
    if not truths:
        raise InputError(f"{options.truth}: holds no WAV or FLAC file of a source")
    rate_hz = options.audRate or recording_rate(str(options.mixture))
    sources = read_waves(truths, rate_hz)
    estimates = read_waves([estimate_of(path, options.stems) for path in truths], rate_hz)
    (mixture,) = read_waves([options.mixture], rate_hz)
    if not sources.shape == estimates.shape or mixture.shape != sources.shape[1:]:
        raise InputError(f"{options.stems}: stems of another length than the sources in {options.truth}")
    (scores,) = score(sources[:, None], estimates[:, None], mixture[None])  # [N, 1, L], [N, 1, L], [1, L]
    if scores is None:
        print(f"{options.stems}: a stem or a source is silent: there is no score")
        return
    print(format_scores([path.stem for path in truths], scores))


def estimate_of(truth: Path, stems: Path) -> Path:
    """The stem of the same name as a source, in either form."""
    found = [path for suffix in (truth.suffix, *SUFFIXES) if (path := stems / f"{truth.stem}{suffix}").exists()]
    return found[0] if found else stems / truth.name


def read_waves(paths: list[Path], rate_hz: int) -> torch.Tensor:
    """Mono waveforms of files of one length, `[files, L]`."""
    lengths = {str(path): recording_length(str(path), rate_hz) for path in paths}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{paths[0].parent}: files of different lengths")
    return torch.from_numpy(np.stack([read_window(path, 0, length, rate_hz) for path, length in lengths.items()]))


def format_scores(names: list[str], scores: Scores) -> str:
    """A row for each source, and their mean."""
    values = np.stack([scores[name] for name in LABELS])  # [columns, N]
    widths = [max(9, len(label) + 2) for label in LABELS.values()]
    width = max(map(len, [*names, "mean"])) + 2
    lines = [" " * width + "".join(map("{:>{}}".format, LABELS.values(), widths)) + f"   {units()}"]
    for name, row in zip([*names, "mean"], [*values.T, values.mean(axis=1)], strict=True):
        lines.append(f"{name:{width}}" + "".join(map("{:z{}.2f}".format, row, widths)))
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--stems", type=Path, required=True, help="folder of the estimates")
    add("--truth", type=Path, required=True, help="folder of the true sources")
    add("--mixture", type=Path, required=True, help="the recording they were separated from")
    add("--audRate", type=whole(1), help="rate in Hz to compare at (default: the mixture's)")
    return parser.parse_args()


if __name__ == "__main__":
    run_command(main)
