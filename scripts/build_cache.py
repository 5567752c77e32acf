"""Fills the folder of --cache ahead of training: decodes every recording and packs every cloud of index files.

    python scripts/build_cache.py --list data/train.csv --list data/val.csv --cache data/cache

What is there already is left as it is. Files that cannot be read are listed, a line each, and the exit code is 2 then.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse
from collections.abc import Iterable
from dataclasses import dataclass

from dataset.cache import Cache, NotKeptError
from dataset.index import IndexRow, read_index
from utils.errors import InputError, WriteError, run_command
from utils.files import remove_leftovers
from utils.options import ArgumentParser, switch, whole
from utils.parallel import mapper, usable_cores
from utils.progress import Progress, say


@dataclass(frozen=True)
class Fill:
    """Makes the entry of one file, called with its path: a recording at `rate_hz`, or a cloud (None).

    Returns the line that says why the file cannot be read, or None. Raises WriteError: the cache cannot be written.
    """

    cache: Cache
    rate_hz: int | None

    def __call__(self, path: str) -> str | None:
        try:
            if self.rate_hz:
                self.cache.keep_recording(path, self.rate_hz)
            else:
                self.cache.read_points(path)
        except WriteError:
            raise
        except NotKeptError as error:
            say(f"note: {error}")
        except InputError as error:
            return str(error)
        return None


def recordings(rows: Iterable[IndexRow]) -> list[str]:
    """Paths of the rows' recordings, each once, in the rows' order."""
    return list(dict.fromkeys(row.audio_path for row in rows))


def clouds(rows: Iterable[IndexRow]) -> list[str]:
    """Paths of all frames of the rows' performers, each once."""
    return list(dict.fromkeys(row.frame_path(frame) for row in rows for frame in range(row.num_frames)))


def build_cache(rows: list[IndexRow], folder: Path, rate_hz: int, with_clouds: bool, workers: int) -> list[str]:
    """Makes the entries of all files of the rows; returns a line for each that cannot be read.

    Raises:
        WriteError: the cache cannot be written.
    """
    cache, unreadable = Cache(folder), []
    work = [("recordings", recordings(rows), Fill(cache, rate_hz))]
    if with_clouds:
        work.append(("clouds", clouds(rows), Fill(cache, None)))
    with mapper(workers) as mapped:
        for label, paths, fill in work:
            progress = Progress(paths, label, every=max(20, len(paths) // 20))
            for _, error in zip(progress, mapped(fill, paths), strict=True):
                if error:
                    unreadable.append(error)
                    progress.note = f"{len(unreadable)} unreadable"
    return unreadable


def main() -> int:
    options = parse_arguments()
    rows = [row for path in options.list for row in read_index(path)]
    remove_leftovers(options.cache)
    unreadable = build_cache(rows, options.cache, options.audRate, bool(options.clouds), options.workers)
    counts = f"{len(recordings(rows))} recordings" + (f", {len(clouds(rows))} clouds" if options.clouds else "")
    size = sum(path.stat().st_size for path in options.cache.rglob("*.bin"))
    for line in unreadable:
        print(" ".join(line.split()), file=sys.stderr)
    say(f"{options.cache}: {counts}, {len(unreadable)} unreadable; the folder holds {size / 1e6:.1f} MB")
    return 2 if unreadable else 0


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--list", type=Path, action="append", required=True, help="index file; give the option once for each")
    add("--cache", type=Path, required=True, help="folder to fill; the --cache of main.py")
    add("--audRate", type=whole(1), default=11025, help="sampling rate in Hz, as in main.py (default: 11025)")
    add("--clouds", type=switch, default=1, help="1: all frames too; 0: recordings alone (default: 1)")
    add("--workers", type=whole(0), default=0, help="processes; 0 takes all cores (default: 0)")
    options = parser.parse_args()
    options.workers = options.workers or usable_cores()
    return options


if __name__ == "__main__":
    run_command(main)
