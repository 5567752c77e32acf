"""What needs no training, to judge a model's scores by: the mixture itself, ideal masks, and a factorisation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from dataset.eval_list import describe, read_eval_list
from dataset.music import MUSICMixDataset
from dataset.settings import FrameSettings, VoxelSettings, Window
from runs.table import EvaluationTable
from utils.errors import InputError
from utils.files import is_there, read_json, write_json
from utils.metrics import BSS_EVAL, score, si_sdr
from utils.progress import Progress
from utils.spectrogram import istft, stft

NMF_ITERATIONS = 300


def mixture_itself(spectra: Tensor, sources: Tensor) -> Tensor:
    """The mixture as the estimate of every source: masks of ones."""
    return torch.ones_like(spectra.abs())


def ideal_binary_mask(spectra: Tensor, sources: Tensor) -> Tensor:
    """1 where a source is louder than every other."""
    magnitudes = spectra.abs()
    return (magnitudes >= magnitudes.amax(dim=0)).to(magnitudes.dtype)


def ideal_ratio_mask(spectra: Tensor, sources: Tensor) -> Tensor:
    """A source's share of the sum of all sources' magnitudes."""
    magnitudes = spectra.abs()
    return magnitudes / magnitudes.sum(dim=0).clamp(min=1e-10)


def nmf(spectra: Tensor, sources: Tensor) -> Tensor:
    """Non-negative matrix factorisation of the mixture's magnitudes (Lee and Seung, Nature 401, 1999) by librosa, with
    one component for each source; each is given to the source that it is most like by the truth."""
    try:
        from librosa.decompose import decompose
    except ImportError as error:
        raise InputError("librosa is not installed; run ./scripts/setup.sh --open") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        bases, gains = decompose(spectra.sum(dim=0).abs().numpy(), n_components=len(spectra), max_iter=NMF_ITERATIONS)
    parts = bases.T[:, :, None] * gains[:, None, :]  # [N, F, T]
    return torch.from_numpy(parts / np.maximum(parts.sum(axis=0), 1e-10)).to(sources.dtype)


# Name -> masks [N, F, T] of the sources, given their spectra [N, F, T] and waveforms [N, L].
BASELINES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mixture": mixture_itself,
    "nmf": nmf,
    "ideal-binary": ideal_binary_mask,
    "ideal-ratio": ideal_ratio_mask,
}


def separate(name: str, sources: Tensor, n_fft: int, hop: int) -> Tensor:
    """The estimates `[N, L]` of a baseline for sources `[N, L]`, whose sum is the mixture."""
    spectra = stft(sources, n_fft, hop)  # [N, F, T]
    estimates = istft(BASELINES[name](spectra, sources) * spectra.sum(dim=0), n_fft, hop, length=sources.shape[-1])
    if name != "nmf":
        return estimates
    likeness = si_sdr(sources[:, None].double(), estimates[None].double())  # [source, component]
    _, best = linear_sum_assignment(-likeness.nan_to_num(-100.0).numpy())
    return estimates[torch.from_numpy(best)]


def _check_place(folder: Path, name: str) -> None:
    """Raises InputError unless the folder is free, or holds what this module wrote there before."""
    place = folder if is_there(folder) else folder.parent
    if is_there(place) and not place.is_dir():
        raise InputError(f"{place}: not a folder; choose another --output")
    if place == folder and any(folder.iterdir()):
        config = folder / "config.json"
        told = read_json(config).get("options") if is_there(config) else None
        if not isinstance(told, dict) or told.get("baseline") != name:
            raise InputError(f"{folder}: holds something else; choose another --output")


def evaluate_baselines(run: Path, options: dict, names: list[str], folder: Path) -> list[Path]:
    """Scores baselines on the mixtures that a run was evaluated on, each into a folder that reads as a run does.

    Args:
        run: folder of an evaluated run, of whose `config.json` options are.
        folder: gets a folder for each of `names`, of BASELINES.

    Returns:
        These folders.

    Raises:
        InputError: the run was not evaluated, a recording cannot be read, or librosa is missing.
    """
    for name in names:
        _check_place(folder / name, name)
    try:
        window = Window(int(options["audLen"]), int(options["audRate"]))
        num_mix, frames = int(options["num_mix"]), int(options["num_frames"])
        n_fft, hop, method = int(options["stft_frame"]), int(options["stft_hop"]), str(options["bss_eval"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{run / 'config.json'}: does not hold a run's options") from error
    if not (2 <= n_fft <= window.length and 1 <= hop <= n_fft // 2 and method in BSS_EVAL):
        raise InputError(f"{run / 'config.json'}: a spectrogram or a method of scores that no run can have")
    listed = read_eval_list(run / "metrics.csv", num_mix=num_mix, num_frames=frames, window=window)
    mixtures = MUSICMixDataset(
        [],
        training=False,
        num_samples=len(listed),
        seed=0,
        num_mix=num_mix,
        window=window,
        frames=FrameSettings(frames, 1),
        voxels=VoxelSettings(0.05, False),
        listed=listed,
        instruments=sorted({draw.row.instrument for draws in listed for draw in draws}),  # no clouds are read
    )
    tables = {name: EvaluationTable() for name in names}
    for index in Progress(range(len(mixtures)), "baselines", every=50):
        sample = mixtures[0, index]
        if isinstance(sample, InputError):
            raise sample
        sources = torch.from_numpy(sample.waves)  # [N, L]
        length = (sources.shape[-1] // hop) * hop  # as a model's estimates have
        for name, table in tables.items():
            estimates = separate(name, sources, n_fft, hop)[:, None, :length]
            kept = sources[:, None, :length]
            (scores,) = score(kept, estimates, kept.sum(dim=0), method)
            table.add({"index": index, **describe(sample.draws, window)}, scores)
    for name, table in tables.items():
        told = {"num_mix": num_mix, "arch_vision": "", "rgbs_feature": 0, "baseline": name}
        table.write(folder / name, eval_list=str(run / "metrics.csv"), bss_eval=method)
        write_json(folder / name / "config.json", {"options": told})
    return [folder / name for name in names]
