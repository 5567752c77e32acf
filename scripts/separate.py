"""Separates a recording: a stem for each musician of whom there is a point cloud.

    python scripts/separate.py --mixture song.wav --points violin.ply cello.ply --run ckpt/<run> --output out/
    python scripts/separate.py --mixture song.wav --scene scene.ply --run ckpt/<run> --output out/

The first takes a cloud, or a folder of frames, of each musician; the second finds the musicians in one capture of all
of them, or follows them through a folder of captures. Stems are WAV files (32-bit float) of the recording's rate,
length and channels, aligned with it to the sample.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse

from arguments import run_called
from dataset.audio import open_recording
from dataset.text_clouds import check_columns
from jobs.batch import separate_batch
from jobs.lists import COLUMNS, Job, batch_of
from jobs.names import RESIDUAL, check_template
from jobs.options import add_cloud_options, with_axis
from jobs.players import CaptureSettings, read_players
from jobs.recordings import OutputSettings, separate_recording
from models.mask_rules import MASK_RULES
from separation import Separator
from utils.errors import InputError, run_command
from utils.options import ArgumentParser, real, switch, whole
from utils.progress import Bar, complain, say
from utils.sound_files import SUBTYPES, Encoding


def main() -> int:
    options = parse_arguments()
    captures, outputs = capture_settings(options), output_settings(options)
    given = {"points": tuple(options.points or ()), "scene": options.scene or "", "labels": tuple(options.labels or ())}
    job = Job(options.mixture or Path(), options.output, names=tuple(options.names or ()), **given)
    if options.batch:
        return separate_many(options, job, captures, outputs)
    with open_recording(str(job.mixture)) as recording:
        separator = Separator.from_run(options.run, options.device)
        players = read_players(separator, job, captures)
        total = separator.num_windows(recording)
        with Bar(total, "separating", every=max(20, total // 20)) as bar:
            taken = separate_recording(separator, recording, job, players, outputs, bar)
        tell_speed(recording.num_samples / recording.rate_hz, taken, separator)
    return 0


def separate_many(options: argparse.Namespace, common: Job, captures: CaptureSettings, outputs: OutputSettings) -> int:
    """Separates all of --batch; the exit code is 2 if a recording could not be separated."""
    jobs = batch_of(options.batch, common)
    separator = Separator.from_run(options.run, options.device)
    tally = separate_batch(separator, jobs, captures, outputs, resume=bool(options.resume))
    kept = f", {tally.kept} were there already" if tally.kept else ""
    say(f"{tally.separated} of {len(jobs)} recordings separated{kept}")
    if tally.separated:
        tell_speed(tally.sound_s, tally.taken_s, separator)
    if tally.failed:
        complain(f"error: {tally.failed} of {len(jobs)} recordings were not separated; the reasons are above")
    return 2 if tally.failed else 0


def tell_speed(sound_s: float, taken_s: float, separator: Separator) -> None:
    times = sound_s / max(taken_s, 1e-9)
    say(f"{sound_s:.1f} s of sound in {taken_s:.1f} s, {times:.1f} times real time, on {separator.device}")


def capture_settings(options: argparse.Namespace) -> CaptureSettings:
    return CaptureSettings(
        up=options.up,
        unit=options.unit,
        columns=options.columns,
        place=options.place,
        seed=options.seed,
        fps=options.scene_fps,
        num_sources=options.num_sources,
        keep=options.keep or (),
        drop=options.drop or (),
    )


def output_settings(options: argparse.Namespace) -> OutputSettings:
    return OutputSettings(
        encoding=Encoding(options.format, options.subtype or SUBTYPES[options.format][0]),
        template=check_template(options.name_template),
        masks=options.masks,
        residual=options.residual,
        report=options.report,
        overwrite=bool(options.overwrite),
        about=f"separated by {run_called(options.run).resolve().name}",
    )


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    recordings = parser.add_mutually_exclusive_group(required=True)
    recordings.add_argument("--mixture", type=Path, help="recording of the ensemble: any audio or video file")
    recordings.add_argument(
        "--batch",
        type=Path,
        help="many recordings: a folder of them, all of the musicians of --points, --scene or --labels; or a CSV file "
        f"with a title line of {','.join(COLUMNS)}, of which mixture must be there, semicolons within a cell, paths "
        "from the working directory; each gets a folder of its name in --output unless its row names one",
    )
    add("--run", type=Path, required=True, help="folder of a run, ckpt/<run>; without config.json: published weights")
    add("--output", type=Path, default=Path("out"), help="folder for the stems (default: out)")
    clouds = parser.add_mutually_exclusive_group()
    clouds.add_argument(
        "--points", nargs="+", help="for each musician a PLY, PCD, XYZ, XYZRGB or PTS file, or a folder"
    )
    clouds.add_argument("--scene", help="one such file that holds all musicians, or a folder of frames")
    clouds.add_argument("--labels", nargs="+", help="for a run of --arch_vision label: the instruments")
    add("--scene_fps", type=real(0.01, 1000), default=15, help="frames a second of a folder of scenes (default: 15)")
    add("--num_sources", type=whole(1, 100), help="musicians in the scene (default: as many as are found)")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--keep", type=whole(1), nargs="+", help="the candidates of the scene, by their numbers in scene.png, that play"
    )
    chosen.add_argument("--drop", type=whole(1), nargs="+", help="those of the musicians found that do not play")
    add("--names", nargs="+", help="names of the stems; in a scene from left to right (default: of the clouds' files)")
    add(
        "--name_template",
        default="{name}",
        help="names of the stems' files, such as {mixture}_{name} or {number:02}_{name} (default: {name})",
    )
    add("--format", default="wav", choices=list(SUBTYPES), help="of the stems (default: wav)")
    add(
        "--subtype",
        type=str.upper,
        choices=sorted({subtype for known in SUBTYPES.values() for subtype in known}),
        help="how samples are stored (default: FLOAT in wav, PCM_24 in flac)",
    )
    add_cloud_options(parser)
    add(
        "--masks",
        default="auto",
        choices=["auto", *MASK_RULES],
        help="what the mixture is multiplied by: masks cut at their threshold, as they are, or shares of the sources "
        "and a residual that add up to 1; auto: as the run was trained, binary or soft",
    )
    add("--report", action="store_true", help="write report/index.html, to see and hear all of it in a browser")
    add("--residual", action="store_true", help=f"write {RESIDUAL}.wav, the recording without its stems")
    add("--overwrite", type=switch, default=0, help="1: replace files that are in --output (default: 0)")
    add("--resume", type=switch, default=0, help="1: leave out recordings of a batch whose stems are all there")
    add("--seed", type=whole(0), default=1234, help="of the frames that are drawn from folders (default: 1234)")
    add("--device", default="auto", choices=["auto", "cuda", "cpu", "mps"], help="auto: cuda, else mps, else cpu")
    options = parser.parse_args(with_axis(sys.argv[1:]))
    if not options.batch and not (options.points or options.scene or options.labels):
        parser.error("one of the arguments --points --scene --labels is required")
    if options.resume and not options.batch:
        raise InputError("--resume goes with --batch; --overwrite 1 replaces what is there")
    if options.resume and options.overwrite:
        raise InputError("--resume 1 leaves out what is there, --overwrite 1 replaces it: choose one")
    if options.num_sources and not (options.scene or options.batch):
        raise InputError("--num_sources goes with --scene; with --points every cloud is a source")
    if (options.keep or options.drop) and (options.num_sources or not (options.scene or options.batch)):
        raise InputError("--keep and --drop go with --scene, and without --num_sources")
    if options.columns:
        check_columns(options.columns)
    return options


if __name__ == "__main__":
    run_command(main)
