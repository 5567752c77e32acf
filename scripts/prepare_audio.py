"""Extracts mono waveforms for data/audio from any audio or video files.

    python scripts/prepare_audio.py downloads/cello --output data/audio/cello

Folders stand for all files in them, at any depth, but for hidden ones, pictures and text. What is there already is
left as it is, so that a run that was interrupted goes on. Files that cannot be read or hold no sound are listed at the
end, a line each, and the exit code is 2 then.
"""

from __future__ import annotations

import argparse
import mimetypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dataset.extract import FORMATS, write_mono  # noqa: E402
from utils.errors import InputError, WriteError, run_command  # noqa: E402
from utils.options import ArgumentParser, whole  # noqa: E402
from utils.parallel import mapper  # noqa: E402
from utils.progress import Progress, say  # noqa: E402


@dataclass(frozen=True)
class Extract:
    """Writes the sound of a file, called with (file, target), at `rate_hz`.

    Returns the line that says why the file cannot be read, or None. Raises WriteError: the target cannot be written.
    """

    rate_hz: int

    def __call__(self, job: tuple[Path, Path]) -> str | None:
        try:
            write_mono(str(job[0]), job[1], self.rate_hz)
        except WriteError:
            raise
        except InputError as error:
            return str(error)
        return None


def find_files(inputs: list[Path], output: Path) -> list[Path]:
    """The files among `inputs` and in the folders among them, those of `output` excepted.

    Raises:
        InputError: an input is missing, or there is no file at all.
    """
    files = []
    for path in inputs:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        inside = sorted(path.rglob("*")) if path.is_dir() else []
        files += [file for file in inside if file.is_file() and _may_sound(file.relative_to(path), file, output)]
        files += [] if path.is_dir() else [path]
    if not files:
        raise InputError(f"{', '.join(map(str, inputs))}: no audio or video file in there")
    return list(dict.fromkeys(files))


def _may_sound(inside: Path, file: Path, output: Path) -> bool:
    """Downloads come with subtitles, thumbnails and descriptions, often of the same name."""
    kind = mimetypes.guess_type(file.name)[0] or ""
    is_hidden = any(part.startswith(".") for part in inside.parts)
    return not (is_hidden or kind.startswith(("image/", "text/")) or kind == "application/json") and (
        output.resolve() not in file.resolve().parents
    )


def name_targets(files: list[Path], output: Path, ending: str) -> list[tuple[Path, Path]]:
    """Pairs (file, target).

    Raises:
        InputError: two files would be written under one name.
    """
    sources: dict[Path, Path] = {}
    for file in files:
        target = output / f"{file.stem}.{ending}"
        if target in sources:
            raise InputError(f"{sources[target]} and {file} would both be written as {target}; rename one of them")
        sources[target] = file
    return [(file, target) for target, file in sources.items()]


def main() -> int:
    options = parse_arguments()
    jobs = name_targets(find_files(options.inputs, options.output), options.output, options.format)
    missing = [job for job in jobs if not job[1].exists()]
    unreadable = []
    progress = Progress(missing, "recordings", every=max(1, len(missing) // 20))
    with mapper(min(options.workers, max(1, len(missing))), chunk=1) as mapped:
        for _, error in zip(progress, mapped(Extract(options.audRate), missing), strict=True):
            if error:
                unreadable.append(error)
                progress.note = f"{len(unreadable)} unreadable"
    for line in unreadable:
        print(" ".join(line.split()), file=sys.stderr)
    written = len(missing) - len(unreadable)
    say(f"{options.output}: {written} written, {len(jobs) - len(missing)} there before, {len(unreadable)} unreadable")
    return 2 if unreadable else 0


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("inputs", metavar="IN", type=Path, nargs="+", help="audio or video file, or folder of such files")
    add("--output", type=Path, required=True, help="folder to write to, such as data/audio/cello")
    add("--audRate", type=whole(1), default=11025, help="sampling rate in Hz, as in main.py (default: 11025)")
    add("--format", choices=FORMATS, default="flac", help="of the files written (default: flac)")
    add("--workers", type=whole(0), default=0, help="processes; 0 takes all cores (default: 0)")
    options = parser.parse_args()
    options.workers = options.workers or os.cpu_count() or 1
    return options


if __name__ == "__main__":
    run_command(main)
