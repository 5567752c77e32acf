"""Scores a rendered scene: separated stems beside the true ones, both heard from the same place.

    python scripts/score_scene.py out/ --truth stems/ --mixture mixture.wav

Prints the STFT and the envelope distance from the rendering of the true stems (0 is the same, 1 is silence), for the
separated stems and for the mixture played from the middle of the ensemble. The listener stands where a conductor does,
or at --listener.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse

import numpy as np

from dataset.audio import open_recording
from spatial.distances import envelope_distance, stft_distance
from spatial.ensemble import open_ensemble
from spatial.geometry import Listener
from spatial.render import render
from utils.errors import InputError, run_command
from utils.options import ArgumentParser, real


def main() -> None:
    options = parse_arguments()
    with open_ensemble(options.folder) as ensemble:
        listener = Listener(np.array(options.listener)) if options.listener else ensemble.before()
        rate_hz, length = ensemble.rate_hz, ensemble.num_samples
        truths = [read_mono(options.truth / f"{name}.wav", rate_hz, length) for name in ensemble.names]
        stems = [ensemble.read(n, 0, length) for n in range(len(truths))]
        mixture = read_mono(options.mixture, rate_hz, length)
        places = ensemble.places_m

    def heard(waves: list[np.ndarray], places_m: np.ndarray) -> np.ndarray:
        return render(np.stack(waves), rate_hz, places_m, listener, hrtf=options.hrtf)

    truth = heard(truths, places)
    print(f"{'':28}STFT  envelope   distance from the true stems; 0 is the same, 1 is silence")
    for label, rendered in (
        ("separated stems", heard(stems, places)),
        ("mixture from the middle", heard([mixture], places.mean(axis=0)[None])),
    ):
        print(f"{label:24}{stft_distance(rendered, truth):8.3f}{envelope_distance(rendered, truth):10.3f}")


def read_mono(path: Path, rate_hz: int, length: int) -> np.ndarray:
    """A whole recording of the stems' length, the mean of its channels: `[length]`."""
    with open_recording(str(path)) as recording:
        if recording.length_at(rate_hz) != length:
            raise InputError(f"{path}: not of the length of the stems")
        return recording.read(0, length, rate_hz, mono=True)[0]


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("folder", type=Path, help="folder with scene.json and the stems")
    add("--truth", type=Path, required=True, help="folder with the true stems, of the same names")
    add("--mixture", type=Path, required=True, help="the recording they were separated from")
    add("--listener", type=real(-1000, 1000), nargs=3, metavar=("X", "Y", "Z"), help="metres (default: before them)")
    add("--hrtf", type=Path, help="SOFA file of a head (default: KEMAR)")
    return parser.parse_args()


if __name__ == "__main__":
    run_command(main)
