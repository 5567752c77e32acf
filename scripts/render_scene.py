"""Renders a separated scene to a file, as a listener in it hears it.

    python scripts/render_scene.py out/ --to binaural --listener 0 1.6 3 --facing 20
    python scripts/render_scene.py out/ --to ambisonics --path path.csv --room 10 4 8 --absorption 0.3

`out/` was written by `separate.py --scene`. The file has the stems' rate and length, in 32-bit floats.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse

import numpy as np

from spatial.ensemble import Ensemble, open_ensemble
from spatial.geometry import Listener
from spatial.path_files import read_listener
from spatial.render import TARGETS, make_target
from spatial.room import Room
from spatial.stream import SceneStream
from utils.errors import InputError, run_command
from utils.options import ArgumentParser, real, switch, whole
from utils.progress import Progress, say
from utils.sound_files import Encoding, writing_sound

SCENE_FILES = ("scene.json", "scene.wav", "scene.glb", "residual.wav")  # of the folder, which separate.py wrote
SPEAKERS = ("stereo", "5.1")  # whose channels a WAV file can name in the order that they have here


def main() -> None:
    options = parse_arguments()
    with open_ensemble(options.folder) as ensemble:
        listener = choose_listener(ensemble, options)
        room = choose_room(ensemble, listener, options)
        target = make_target(options.to, ensemble.rate_hz, options.hrtf, options.order)
        output = options.output or options.folder / f"rendered-{options.to}.wav"
        check_output(output, ensemble, options)
        stream = SceneStream(
            *(ensemble.read, ensemble.num_samples, ensemble.rate_hz, ensemble.paths, listener, target, room)
        )
        loudest = 0.0
        about = (ensemble.rate_hz, target.num_channels, ensemble.num_samples)
        with writing_sound(output, *about, Encoding(names_speakers=options.to in SPEAKERS)) as append:
            for block in Progress(stream, "rendering", every=max(20, len(stream) // 20)):
                append(block)
                loudest = max(loudest, float(np.abs(block).max()))
    say(f"{output}: {target.num_channels} channels, {options.to}, of {' '.join(ensemble.names)}")
    if loudest > 1:
        say(f"note: {20 * np.log10(loudest):.1f} dB above full scale, which the file keeps; turn it down to play it")


def choose_listener(ensemble: Ensemble, options: argparse.Namespace) -> Listener:
    """The listener of --path, or at --listener, or where a conductor stands, facing --facing."""
    if options.path:
        return read_listener(options.path)
    place = options.listener if options.listener else ensemble.before().path.at(0)
    return Listener(np.array(place, dtype=float), options.facing)


def choose_room(ensemble: Ensemble, listener: Listener, options: argparse.Namespace) -> Room | None:
    """The room of --room around all who are in it."""
    if not options.room:
        return None
    width, height, depth = options.room
    inside = np.concatenate([ensemble.ends_m, listener.path.places_m])
    return Room.around(inside, np.array([width, height, depth]), options.absorption, ensemble.floor_m)


def check_output(output: Path, ensemble: Ensemble, options: argparse.Namespace) -> None:
    """Refuses to write over the scene and what is read, without `--overwrite 1` over anything, and other than WAV."""
    given = [*(Path(stem.path) for stem in ensemble.stems), options.hrtf, options.path]
    kept = [*given, *(options.folder / name for name in SCENE_FILES)]
    if output.exists() and any(output.samefile(path) for path in kept if path and path.exists()):
        raise InputError(f"{output}: is part of the scene or read for this; choose another --output")
    if output.suffix.lower() != ".wav":
        raise InputError(f"--output {output}: a WAV file is written, whose name ends in .wav")
    if output.exists() and not options.overwrite:
        raise InputError(f"{output}: exists; choose another --output, or --overwrite 1 to replace it")


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("folder", type=Path, help="folder with scene.json and the stems")
    add("--to", choices=TARGETS, default="binaural", help="what is rendered to (default: binaural)")
    add("--output", type=Path, help="file to write (default: rendered-<to>.wav in the folder)")
    add("--listener", type=real(-1000, 1000), nargs=3, metavar=("X", "Y", "Z"), help="metres (default: before them)")
    add("--facing", type=real(-360, 360), help="degrees; 0 looks into the scene, 90 to the left (default: 0)")
    add("--path", type=Path, help="CSV file of a listener who moves: seconds,x,y,z,facing")
    add("--hrtf", type=Path, help="SOFA file of a head for binaural (default: KEMAR)")
    add("--order", type=whole(1, 3), help="of ambisonics, 1 to 3 (default: 3)")
    add("--room", type=real(0.5, 300), nargs=3, metavar=("W", "H", "D"), help="of a room, in metres")
    add("--absorption", type=real(0.01, 1), help="of its walls, 0.01 to 1, of the energy (default: 0.3)")
    add("--overwrite", type=switch, default=0, help="1: replace a file that is there (default: 0)")
    options = parser.parse_args()
    if options.path and (options.listener or options.facing is not None):
        raise InputError("--path says where the listener is and looks: it goes without --listener and --facing")
    for name, needed in (("hrtf", options.to == "binaural"), ("order", options.to == "ambisonics")):
        if getattr(options, name) is not None and not needed:
            raise InputError(f"--{name} does not go with --to {options.to}")
    if options.absorption is not None and not options.room:
        raise InputError("--absorption goes with --room")
    options.facing = options.facing or 0.0
    options.order = options.order or 3
    options.absorption = options.absorption or 0.3
    return options


if __name__ == "__main__":
    run_command(main)
