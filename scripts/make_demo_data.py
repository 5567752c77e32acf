"""Makes a stand-in data set in the published layout, from nothing but a seed.

    python scripts/make_demo_data.py --output data/demo

writes synthetic recordings (`audio/`), coloured point clouds of moving performers (`frames/`) and of other performers
for pretraining the vision network (`bodies/`, laid out as ModelNet40 is). The same seed and arguments give the same
bytes, with any number of workers.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from functools import partial

from demo_data import plan
from tqdm import tqdm

from utils.errors import InputError, run_command
from utils.files import is_there, read_json
from utils.options import ArgumentParser, real, whole
from utils.parallel import mapper, usable_cores

VERSION = 1  # raise it when the same arguments would give other bytes
MOST = 2**63 - 1  # of an argument
MOST_FILES = 10**6  # of an instrument in a data set that may be removed
STAMP = "demo_data.json"  # written last: its presence says that the set is whole
UNFINISHED_STAMP = "demo_data.unfinished.json"


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line -> checked arguments; raises InputError on a bad one."""
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of the data set, for example data/demo")
    parser.add_argument("--seed", type=whole(0), default=0, help="seed of all that is random (default: 0)")
    parser.add_argument("--recordings", type=whole(1), default=24, help="recordings per instrument (default: 24)")
    parser.add_argument("--seconds", type=real(1, 3600), default=30.0, help="length of a recording in s (default: 30)")
    parser.add_argument(
        "--audRate",
        dest="rate_hz",
        type=int,
        choices=(11025, 22050, 44100),
        default=11025,
        help="sampling rate in Hz (default: 11025)",
    )
    parser.add_argument("--performers", type=whole(1), default=13, help="performers per instrument (default: 13)")
    parser.add_argument("--frames", type=whole(1), default=12, help="point clouds a performer (default: 12)")
    parser.add_argument("--bodies", type=whole(1), default=80, help="training bodies an instrument (default: 80)")
    parser.add_argument("--workers", type=whole(0), default=0, help="processes; 0 takes all cores (default: 0)")
    parser.add_argument("--overwrite", type=int, choices=(0, 1), default=0, help="1 replaces an older demo data set")
    return parser.parse_args(argv)


def make_demo_data(recipe: plan.Recipe, output: Path, workers: int, overwrite: bool) -> str:
    """Writes the data set -> one closing line.

    Raises InputError when `output` holds a demo set of other arguments (unless `overwrite`), or other data.
    """
    stamp, unfinished = output / STAMP, output / UNFINISHED_STAMP
    wanted = {"version": VERSION, **asdict(recipe)}
    old = _read_stamp(stamp) or _read_stamp(unfinished)
    if stamp.exists() and old == wanted:
        return f"{output} already holds this demo data set; nothing to do"
    if old is None and any((output / folder).exists() for folder in ("audio", "frames", "bodies")):
        raise InputError(f"{output} holds data that this script did not make; choose another --output")
    if old not in (None, wanted):
        if not overwrite:
            raise InputError(f"{output} holds a demo data set of other arguments; add --overwrite 1 to replace it")
        _remove(output, old)

    stamp_text = json.dumps(wanted, indent=2) + "\n"
    plan.write_whole(unfinished, stamp_text.encode())
    jobs = plan.jobs(recipe)
    file_count, byte_count = 0, 0
    with tqdm(
        total=sum(len(plan.files(recipe, job)) for job in jobs), unit="file", desc="demo data", disable=None
    ) as bar:
        for written, size in _results(recipe, output, jobs, workers or usable_cores()):
            file_count, byte_count = file_count + written, byte_count + size
            bar.update(written)
    unfinished.replace(stamp)
    return f"{output}: {file_count} files, {byte_count / 1e6:.1f} MB, {_counts(recipe)}"


def main() -> None:
    """The command line."""
    arguments = vars(parse_arguments())
    output, workers, overwrite = (arguments.pop(name) for name in ("output", "workers", "overwrite"))
    try:
        print(make_demo_data(plan.Recipe(**arguments), output, workers, bool(overwrite)))
    except OSError as error:
        raise InputError(f"{output}: the data set cannot be written ({error})") from error


def _results(recipe: plan.Recipe, output: Path, jobs: list[plan.Job], workers: int) -> Iterator[tuple[int, int]]:
    """Runs the jobs -> (files, bytes) of each as each job finishes."""
    with mapper(min(workers, len(jobs)), chunk=1) as mapped:
        yield from mapped(partial(plan.run, recipe, output), jobs)


def _read_stamp(path: Path) -> dict | None:
    """What made the data set in a folder; None where nothing tells. Raises InputError for a stamp that is not ours."""
    if not is_there(path):
        return None
    stamp = read_json(path)
    recipe = {"rate_hz": 11025} | {name: value for name, value in stamp.items() if name != "version"}
    is_right = recipe.keys() == {field.name for field in fields(plan.Recipe)} and "version" in stamp
    if not is_right or not all(type(value) in (int, float) and 0 <= value <= MOST for value in recipe.values()):
        raise InputError(f"{path}: not what this script writes; choose another --output")
    if sum(recipe[name] for name in ("recordings", "performers", "bodies")) * recipe["frames"] > MOST_FILES:
        raise InputError(f"{path}: a data set of more than {MOST_FILES} files; choose another --output")
    return {"version": stamp["version"], **recipe}


def _remove(output: Path, old: dict) -> None:
    """Deletes the files of an older demo set and the folders this leaves empty, and nothing else."""
    for stamp in (STAMP, UNFINISHED_STAMP):
        (output / stamp).unlink(missing_ok=True)
    recipe = plan.Recipe(**{name: value for name, value in old.items() if name != "version"})
    paths = [output / path for job in plan.jobs(recipe) for path in plan.files(recipe, job)]
    plan.remove_files(output, paths)


def _counts(recipe: plan.Recipe) -> str:
    instruments = len(plan.INSTRUMENTS)
    return (
        f"{instruments} instruments, each with {recipe.recordings} recordings of {recipe.seconds:g} s, "
        f"{recipe.performers} performers of {recipe.frames} frames and {recipe.bodies} training bodies"
    )


if __name__ == "__main__":
    run_command(main)
