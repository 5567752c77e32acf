"""Separates a recording: a stem for each musician of whom there is a point cloud.

    python scripts/separate.py --mixture song.wav --points violin.ply cello.ply --run ckpt/<run> --output out/
    python scripts/separate.py --mixture song.wav --scene scene.ply --run ckpt/<run> --output out/

The first takes a cloud, or a folder of frames, of each musician; the second finds the musicians in one capture of all
of them. Stems are WAV files (32-bit float) of the recording's rate, length and channels, aligned with it to the sample.
"""

from __future__ import annotations

import signal

# Ctrl-C while libraries load, in a worker too, ends without a traceback.
if __name__ in ("__main__", "__mp_main__") and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dataset.audio import open_recording
from dataset.captures import UNITS_M, UP_AXES, Capture, choose_frames, list_frames, read_capture
from dataset.text_clouds import check_columns
from reports.recording_page import write_recording_page
from separation import Separator
from separation.scene import Scene, cloud_for_model, split_scene
from separation.scene_files import (
    CANDIDATES,
    capture_key,
    read_candidates,
    scene_files,
    write_candidates,
    write_scene,
)
from separation.separator import Cloud
from separation.stems import write_stems
from utils.errors import InputError, run_command
from utils.files import real_path
from utils.options import ArgumentParser, switch, whole
from utils.progress import Progress, say
from utils.seeding import generator

RESIDUAL = "residual"
NUMBERED = re.compile(r"\d+|person_\d+")  # names of frames and performers, which say nothing of who it is


def main() -> None:
    options = parse_arguments()
    with open_recording(str(options.mixture)) as recording:
        separator = Separator.from_run(options.run, options.device)
        if options.scene:
            scene, capture, key = read_scene(options)
            clouds = [[(cloud_for_model(musician), musician.rgb)] for musician in scene.musicians]
        elif options.labels:
            clouds = options.labels
        else:
            clouds = [read_source(separator, path, n, options) for n, path in enumerate(options.points)]
        names = choose_names(options, len(clouds))
        stems = {name: options.output / f"{name}.wav" for name in names}
        residual = {RESIDUAL: options.output / f"{RESIDUAL}.wav"} if options.residual else {}
        others = scene_files(options.output, names) if options.scene else []
        check_output(options, [*stems.values(), *residual.values(), *others])
        if len(clouds) > separator.options.num_mix:
            say(f"note: {len(clouds)} sources; the run was trained on mixtures of {separator.options.num_mix}")

        start = time.monotonic()
        stream = separator.stream(recording, clouds, options.soft)
        progress = Progress(stream, "separating", every=max(20, len(stream) // 20))
        levels_db = write_stems(progress, recording, list(stems.values()), residual.get(RESIDUAL))
        seconds, taken = recording.num_samples / recording.rate_hz, time.monotonic() - start
    for path, level_db in zip([*stems.values(), *residual.values()], levels_db, strict=False):
        say(f"{path}: {level_db:z.1f} dB of the recording's energy")
    if options.scene:
        write_candidates(scene, options.output, key)
        write_scene(
            *(scene, stems, options.output),
            capture=options.scene,
            unit_of_capture=capture.unit,
            up_of_capture=options.up,
            shift_m=None if capture.shift_m is None else capture.shift_m.tolist(),
        )
        say(f"{options.output / 'scene.json'}, {options.output / 'scene.png'}: where they stand")
        shown = {name: (musician.xyz, musician.rgb) for name, musician in zip(names, scene.musicians, strict=True)}
    elif options.labels:
        shown = {}
    else:
        shown = {name: frames[0] for name, frames in zip(names, clouds, strict=True)}
    if options.report:
        about = [f"separated by {options.run.resolve().name}", f"{'soft' if options.soft else 'hard'} masks"]
        page = write_recording_page(
            *(options.output / "report", options.mixture, stems | residual, shown),
            is_scene=bool(options.scene),
            about=about,
        )
        say(f"to see and hear it: {page}")
    say(f"{seconds:.1f} s of sound in {taken:.1f} s, {seconds / taken:.1f} times real time, on {separator.device}")


def read_source(separator: Separator, path: str, number: int, options: argparse.Namespace) -> list[Cloud]:
    """The clouds of one musician, a file or frames of a folder, as `Separator.separate` takes them."""
    net, frames = separator.net, list_frames(path)
    chosen = choose_frames(frames, net.num_frames, separator.options.stride_frames, generator(options.seed, number))
    clouds = []
    for frame in dict.fromkeys(chosen):
        capture = read_capture(frame, options.up, options.unit, options.columns)
        tell_capture(frame, capture)
        separator.voxels(frame, capture.xyz, capture.rgb)  # what is wrong with it is told with its name
        clouds.append((capture.xyz, capture.rgb))
    return clouds


def read_scene(options: argparse.Namespace) -> tuple[Scene, Capture, str]:
    """The musicians in one capture of all of them, the capture, and its key for the candidates that are kept."""
    capture = read_capture(options.scene, options.up, options.unit, options.columns, is_scene=True)
    tell_capture(options.scene, capture)
    key = capture_key(options.scene, up=options.up, unit=options.unit, columns=options.columns)
    try:
        scene = find_scene(capture, key, options)
    except InputError as error:
        raise InputError(f"{options.scene}: {error}") from error
    for part in scene.left_out:
        say(f"{options.scene}: left out: {part.reason} ({part.num_points} points)")
    if not scene.has_floor:
        say(f"{options.scene}: no floor in sight; if there is one, perhaps another axis points up: --up z")
    say(f"{options.scene}: {len(scene.musicians)} musicians")
    return scene, capture, key


def find_scene(capture: Capture, key: str, options: argparse.Namespace) -> Scene:
    """The musicians of a capture; with --keep or --drop others of the candidates that were found before, if they were.

    Raises:
        InputError: as `split_scene` and `Scene.with_taken`.
    """
    chosen = options.keep or options.drop
    scene = read_candidates(options.output, key, capture.xyz, capture.rgb) if chosen else None
    if scene is None:
        scene = split_scene(capture.xyz, capture.rgb, options.num_sources)
    else:
        say(f"{options.scene}: the candidates of {options.output / CANDIDATES}, without searching again")
    if options.keep:
        scene = scene.with_taken(number - 1 for number in options.keep)
    elif options.drop:
        scene.with_taken(number - 1 for number in options.drop)  # they are there
        scene = scene.with_taken(set(scene.taken) - {number - 1 for number in options.drop})
    return scene


def tell_capture(path: str, capture: Capture) -> None:
    """Says what was made of a cloud that is not simply a musician in metres."""
    for note in capture.notes:
        say(f"{path}: {note}")
    if not capture.is_plausible:
        say(f"{path}: {capture.height_m:.3g} m high, which no musician is; perhaps another axis points up: --up z")


def choose_names(options: argparse.Namespace, count: int) -> list[str]:
    """Names of the stems: those given, or the names of the clouds' files, or in a scene numbers from left to right.

    Raises:
        InputError: too many or too few, or names that are the same or cannot be those of files.
    """
    names = options.names
    if names is None and options.scene:
        names = [f"source{n + 1}" for n in range(count)]
    elif names is None and options.labels:
        names = options.labels
    elif names is None:
        names = [name_of_cloud(Path(path)) for path in options.points]
    if len(names) != count:
        raise InputError(f"--names: {len(names)} names for {count} sources ({' '.join(names)})")
    for name in names:
        if not name or name != Path(name).name or "\\" in name or name.startswith("."):
            raise InputError(f"--names: {name!r} cannot be the name of a file")
        if name.lower() == RESIDUAL or [other.lower() for other in names].count(name.lower()) > 1:
            raise InputError(f"--names: {name} would be the name of two stems; give each source its own")
    return names


def name_of_cloud(path: Path) -> str:
    """The name of a cloud's file or folder; of a frame `cello/person_1/00012.ply` that of the instrument."""
    place = real_path(path)
    name = place.name if place.is_dir() else place.stem
    while NUMBERED.fullmatch(name) and place.parent.name:
        place = place.parent
        name = place.name
    return name


def check_output(options: argparse.Namespace, files: list[Path]) -> None:
    """Refuses to write over the recording or a capture, and without `--overwrite 1` over anything."""
    given = [options.mixture, *map(Path, options.points or ()), *([Path(options.scene)] if options.scene else [])]
    given = [path for path in given if path.exists()]
    for path in files:
        if path.exists() and any(path.samefile(one) for one in given):
            what = "recording" if path.samefile(options.mixture) else "capture"
            raise InputError(f"{path}: is the {what} itself; choose another --output or other --names")
        if path.exists() and not options.overwrite:
            raise InputError(f"{path}: exists; choose another --output, or --overwrite 1 to replace it")


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--mixture", type=Path, required=True, help="recording of the ensemble: any audio or video file")
    add("--run", type=Path, required=True, help="folder of a run, ckpt/<run>; without config.json: published weights")
    add("--output", type=Path, default=Path("out"), help="folder for the stems (default: out)")
    clouds = parser.add_mutually_exclusive_group(required=True)
    clouds.add_argument(
        "--points", nargs="+", help="for each musician a PLY, PCD, XYZ, XYZRGB or PTS file, or a folder"
    )
    clouds.add_argument("--scene", help="one such file that holds all musicians")
    clouds.add_argument("--labels", nargs="+", help="for a run of --arch_vision label: the instruments")
    add("--num_sources", type=whole(1, 100), help="musicians in the scene (default: as many as are found)")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--keep", type=whole(1), nargs="+", help="the candidates of the scene, by their numbers in scene.png, that play"
    )
    chosen.add_argument("--drop", type=whole(1), nargs="+", help="those of the musicians found that do not play")
    add("--names", nargs="+", help="names of the stems; in a scene from left to right (default: of the clouds' files)")
    add("--up", default="y", choices=list(UP_AXES), help="axis of the clouds that points up (default: y)")
    add("--unit", default="auto", choices=["auto", *UNITS_M], help="of the clouds (default: auto, by their height)")
    add(
        "--columns",
        nargs="+",
        help="of text files: x y z, r g b and _ for what is else, in their order (default: by titles and values)",
    )
    add("--soft", action="store_true", help="weigh by the masks' probabilities instead of cutting binary masks")
    add("--report", action="store_true", help="write report/index.html, to see and hear all of it in a browser")
    add("--residual", action="store_true", help=f"write {RESIDUAL}.wav, the recording without its stems")
    add("--overwrite", type=switch, default=0, help="1: replace files that are in --output (default: 0)")
    add("--seed", type=whole(0), default=1234, help="of the frames that are drawn from folders (default: 1234)")
    add("--device", default="auto", choices=["auto", "cuda", "cpu", "mps"], help="auto: cuda, else mps, else cpu")
    options = parser.parse_args(_with_axis(sys.argv[1:]))
    if options.num_sources and not options.scene:
        raise InputError("--num_sources goes with --scene; with --points every cloud is a source")
    if (options.keep or options.drop) and (options.num_sources or not options.scene):
        raise InputError("--keep and --drop go with --scene, and without --num_sources")
    if options.columns:
        check_columns(options.columns)
    return options


def _with_axis(words: list[str]) -> list[str]:
    """The command line with `--up -y` as `--up=-y`: argparse takes -y for an option."""
    joined = []
    for word in words:
        if joined and joined[-1] == "--up":
            joined[-1] = f"--up={word}"
        else:
            joined.append(word)
    return joined


if __name__ == "__main__":
    run_command(main)
