"""What stems are called: names of sources, and of their files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from string import Formatter

from jobs.lists import Job
from utils.errors import InputError
from utils.files import real_path

RESIDUAL = "residual"
SCENE_SOUND = "scene"  # scene.wav holds all stems
LONGEST = 255  # bytes of a file's name
FIELDS = ("name", "mixture", "number")  # fields of a template
NUMBERED = re.compile(r"\d+|person_\d+")  # names of frames and performers, which do not say who plays
# Characters that XML forbids, or that are invisible.
UNWRITABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def choose_names(job: Job, count: int) -> list[str]:
    """Names of the sources: those given, or the names of the clouds' files, or in a scene numbers from left to right.

    Raises:
        InputError: too many or too few, or names that are the same or cannot be those of files.
    """
    if job.names:
        names = list(job.names)
    elif job.scene:
        names = [f"source{n + 1}" for n in range(count)]
    else:
        names = list(job.labels) or [name_of_cloud(Path(path)) for path in job.points]
    option = "names" if job.origin else "--names"
    if len(names) != count:
        raise InputError(f"{option}: {len(names)} name(s) for {count} source(s) ({' '.join(names)})")
    taken = (RESIDUAL, SCENE_SOUND) if job.scene else (RESIDUAL,)
    for name in names:
        _check_file_name(option, name)
        if name.lower() in taken or [other.lower() for other in names].count(name.lower()) > 1:
            raise InputError(f"{option}: {name} would be the name of two stems; give each source its own")
    return names


def name_of_cloud(path: Path) -> str:
    """The name of a cloud's file or folder; of a frame `cello/person_1/00012.ply` that of the instrument."""
    place = real_path(path)
    name = place.name if place.is_dir() else place.stem
    while NUMBERED.fullmatch(name) and place.parent.name:
        place = place.parent
        name = place.name
    return name


def check_template(template: str) -> str:
    """A template for names of files, such as `{mixture}_{name}`; raises InputError where it is none."""
    try:
        parsed = list(Formatter().parse(template))
        fields = {field for _, field, _, _ in parsed if field is not None}
        specs = [spec for _, _, spec, _ in parsed if spec]
        if any("{" in spec for spec in specs) or not fields <= set(FIELDS):
            raise ValueError(f"only {', '.join(f'{{{field}}}' for field in FIELDS)} can be filled in")
        if any(int(width) > LONGEST for spec in specs for width in re.findall("[0-9]+", spec)):
            raise ValueError(f"the name of a file has at most {LONGEST} bytes")
        template.format(name="violin", mixture="song", number=1)
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise InputError(f"--name_template {template!r}: {error}") from error
    if not fields & {"name", "number"}:
        raise InputError(f"--name_template {template!r}: all stems would have one name; add {{name}}")
    return template


def stem_files(job: Job, names: list[str], template: str, suffix: str) -> list[Path]:
    """The files of the stems of a job, in the order of the names.

    Raises:
        InputError: two would be the same file, or one would have a name that files cannot have.
    """
    files = []
    for number, name in enumerate(names, 1):
        told = template.format(name=name, mixture=job.mixture.stem, number=number)
        _check_file_name("--name_template", f"{told}.{suffix}")
        files.append(job.output / f"{told}.{suffix}")
    taken = [path.name.lower() for path in files] + ([f"{SCENE_SOUND}.wav"] if job.scene else [])
    for path in files:
        if taken.count(path.name.lower()) > 1:
            raise InputError(f"--name_template {template!r}: {path.name} would be the name of two files")
    return files


def _check_file_name(option: str, name: str) -> None:
    if len(os.fsencode(name)) > LONGEST:
        raise InputError(f"{option}: {name[:20]!r}... is longer than the {LONGEST} bytes of a file's name")
    if not name or name != Path(name).name or "\\" in name or name.startswith("."):
        raise InputError(f"{option}: {name!r} cannot be the name of a file")
    if found := UNWRITABLE.search(name):
        raise InputError(f"{option}: {name!r} holds {found[0]!r}, which cannot be printed; give it another name")
