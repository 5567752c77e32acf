"""Extracts mono waveforms for data/audio from any audio or video files.

    python scripts/prepare_audio.py downloads/cello --output data/audio/cello

A folder stands for all files in it, at any depth. Files that exist already are left as they are, so that a run that was
interrupted can be repeated. Files of the same name are one recording, of which one is kept, in later runs too. Files
that are left out are listed, and so are files that cannot be read or hold no sound, one line each; the exit code is 2
if there are any of the latter.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse
import os
from dataclasses import dataclass, field

from dataset.downloads import by_name, find_downloads
from dataset.extract import FORMATS, is_of_another, write_mono
from runs.lock import locked
from utils.errors import InputError, WriteError, run_command
from utils.files import LONGEST_NAME, remove_leftovers
from utils.options import ArgumentParser, whole
from utils.parallel import mapper, usable_cores
from utils.progress import Progress, say


@dataclass
class Outcome:
    """What became of the files of one name. unreadable: lines, if nothing was written; left_out, notes: lines."""

    unreadable: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Extract:
    """Writes the sound of the first of some files that can be read, called with (files, target), at `rate_hz`.

    Raises WriteError: the target cannot be written.
    """

    rate_hz: int

    def __call__(self, job: tuple[list[Path], Path]) -> Outcome:
        files, target = job
        failures: dict[Path, str] = {}
        for file in files:
            try:
                note = write_mono(str(file), target, self.rate_hz)
            except WriteError:
                raise
            except InputError as error:
                failures[file] = str(error)
            except Exception as error:  # of a decoder: one file must not end the run
                failures[file] = f"{file}: cannot be read as audio ({type(error).__name__}: {error})"
            else:
                others = [other for other in files if other != file]
                left_out = [f"{other}: {_why(other, failures)}; {file} is taken" for other in others]
                return Outcome(left_out=left_out, notes=[note] if note else [])
        return Outcome(unreadable=list(failures.values()))


def _why(file: Path, failures: dict[Path, str]) -> str:
    return failures[file].removeprefix(f"{file}: ") if file in failures else "of the same name"


def main() -> int:
    options = parse_arguments()
    found = find_downloads(options.inputs, options.output)
    targets = {options.output / f"{stem}.{options.format}": files for stem, files in by_name(found.files).items()}
    too_long = [target for target in targets if len(os.fsencode(target.name)) > LONGEST_NAME]
    unreadable = [f"{targets[target][0]}: its name is too long for {target.suffix}; rename it" for target in too_long]
    targets = {target: files for target, files in targets.items() if target not in too_long}
    left_out, notes = found.lines(), 0
    num_left_out = found.count()
    with locked(options.output, "--output", "writes recordings"):
        remove_leftovers(options.output)  # of a run that was killed
        missing = [(files, target) for target, files in targets.items() if not target.exists()]
        others = _shared_with_earlier({target: files for target, files in targets.items() if target.exists()})
        left_out, num_left_out = left_out + others, num_left_out + len(others)
        progress = Progress(missing, "recordings", every=max(1, len(missing) // 20))
        failed = 0
        with mapper(min(options.workers, max(1, len(missing))), chunk=1) as mapped:
            for _, outcome in zip(progress, mapped(Extract(options.audRate), missing), strict=True):
                unreadable += outcome.unreadable
                failed += bool(outcome.unreadable)
                left_out += [f"left out: {line}" for line in outcome.left_out]
                num_left_out += len(outcome.left_out)
                notes += len(outcome.notes)
                for note in outcome.notes:
                    say(f"note: {' '.join(note.split())}")
                progress.note = f"{len(unreadable)} unreadable" if unreadable else ""
    for line in left_out:
        say(" ".join(line.split()))
    for line in unreadable:
        print(" ".join(line.split()), file=sys.stderr)
    written, before = len(missing) - failed, len(targets) - len(missing)
    counts = f"{written} written, {before} there before, {len(unreadable)} unreadable, {num_left_out} left out"
    say(f"{options.output}: {counts}" + (f", {notes} with a note" if notes else ""))
    return 2 if unreadable else 0


def _shared_with_earlier(there: dict[Path, list[Path]]) -> list[str]:
    """Lines about files whose recordings an earlier run made of others: the same id in another data set."""
    return [
        f"left out: {file}: of the same name as what {target} was made of"
        for target, files in there.items()
        for file in files
        if is_of_another(target, file)
    ]


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("inputs", metavar="IN", type=Path, nargs="+", help="audio or video file, or folder of such files")
    add("--output", type=Path, required=True, help="folder to write to, such as data/audio/cello")
    add("--audRate", type=whole(1), default=11025, help="sampling rate in Hz, as in main.py (default: 11025)")
    add("--format", choices=FORMATS, default="flac", help="of the files written (default: flac)")
    add("--workers", type=whole(0), default=0, help="processes; 0 takes all cores (default: 0)")
    options = parser.parse_args()
    options.workers = options.workers or usable_cores()
    return options


if __name__ == "__main__":
    run_command(main)
