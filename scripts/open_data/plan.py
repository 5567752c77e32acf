"""What the open data set consists of: one job for every recording, performer, training body and ensemble."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile

from dataset.points import ply_bytes
from open_data import ensembles, humans, musicians, pieces, sounds
from open_data.fonts import VOICES
from utils.files import replacing
from utils.seeding import generator

INSTRUMENTS = ("cello", "doublebass", "guitar", "saxophone", "violin")
SPLITS = ("train", "val", "test")
KINDS = ("recording", "performer", "body", "ensemble")
VAL_SHARE, TEST_SHARE = 0.1, 0.2  # of recordings and performers, at least one each
BODY_TEST_SHARE = 5  # one test body for so many training bodies
PEOPLE = 40  # different bodies, none of them a performer's, that training bodies take turns with
RIG = "rig"  # the file of what all bodies share


@dataclass(frozen=True)
class Recipe:
    """The arguments that decide every byte of the data set."""

    seed: int
    instruments: tuple[str, ...]
    recordings: int
    seconds: float
    performers: int
    frames: int
    bodies: int
    ensembles: int
    audRate: int


@dataclass(frozen=True)
class Parts:
    """Where the parts lie that the set is made of: fonts by name, folders of baked music and of baked bodies."""

    fonts: dict[str, Path]
    music: Path
    people: Path


@dataclass(frozen=True)
class Job:
    """The smallest piece of work: one of KINDS, its instrument (of an ensemble ""), and its number from 0."""

    kind: str
    instrument: str
    index: int


def counts(total: int) -> dict[str, int]:
    """How many of the recordings or performers of an instrument, three or more, each split gets."""
    val, test = max(1, round(VAL_SHARE * total)), max(1, round(TEST_SHARE * total))
    return {"train": total - val - test, "val": val, "test": test}


def split_of(index: int, total: int) -> str:
    """The split of a recording or performer by its number: training first, test last."""
    parts = counts(total)
    return "train" if index < parts["train"] else "val" if index < parts["train"] + parts["val"] else "test"


def jobs(recipe: Recipe) -> list[Job]:
    """All jobs of a data set, neighbours needing the same font; test bodies come after training bodies."""
    found = []
    for kind in KINDS[:3]:
        total = {
            "recording": recipe.recordings,
            "performer": recipe.performers,
            "body": recipe.bodies + body_tests(recipe),
        }[kind]
        found += [Job(kind, name, index) for name in recipe.instruments for index in range(total)]
    recordings = [job for job in found if job.kind == "recording"]
    recordings.sort(key=lambda job: SPLITS.index(split_of(job.index, recipe.recordings)))
    found = recordings + [job for job in found if job.kind != "recording"]
    ensemble_count = recipe.ensembles if len(recipe.instruments) > 1 else 0
    return found + [Job("ensemble", "", index) for index in range(ensemble_count)]


def body_tests(recipe: Recipe) -> int:
    """How many test bodies an instrument gets."""
    return max(1, recipe.bodies // BODY_TEST_SHARE) if recipe.bodies else 0


def files(recipe: Recipe, job: Job) -> list[str]:
    """The paths a job writes, relative to the data set's folder."""
    if job.kind == "recording":
        return [f"audio/{job.instrument}/{job.instrument}_{job.index:04d}.flac"]
    if job.kind == "performer":
        return [f"{frames_folder(job)}/{frame:05d}.ply" for frame in range(recipe.frames)]
    if job.kind == "ensemble":
        return [f"ensembles/{job.index:02d}/{name}" for name in ensembles.files(ensemble(recipe, job.index))]
    is_train = job.index < recipe.bodies
    split, number = ("train", job.index) if is_train else ("test", job.index - recipe.bodies)
    return [f"bodies/{job.instrument}/{split}/body_{number:04d}.ply"]


def frames_folder(job: Job) -> str:
    """The folder of a performer's clouds."""
    return f"frames/{job.instrument}/person_{job.index + 1}"


def person(recipe: Recipe, job: Job) -> str:
    """The name of the body that a performer or training body has."""
    if job.kind == "performer":
        return f"{job.instrument}_{job.index:02d}"
    train = PEOPLE - PEOPLE // BODY_TEST_SHARE
    is_train = job.index < recipe.bodies
    return f"other_{job.index % train if is_train else train + (job.index - recipe.bodies) % (PEOPLE - train):02d}"


def people(recipe: Recipe) -> list[str]:
    """The names of all bodies."""
    return sorted({person(recipe, job) for job in jobs(recipe) if job.kind in ("performer", "body")})


def works(recipe: Recipe) -> list[str]:
    """The works that are played, of all splits."""
    return [work for split in SPLITS for work in pieces.WORKS[split]]


def fonts_of(recipe: Recipe) -> set[str]:
    """The fonts that are needed."""
    return {voice.font for split in SPLITS for name in recipe.instruments for voice in VOICES[split][name]}


def bake_person(recipe: Recipe, folder: Path, name: str) -> None:
    """Bakes one body; its shape depends on the seed and its name alone."""
    shape, height_m = humans.draw_shape(generator(recipe.seed, *name.encode()))
    humans.bake(shape, height_m, folder / f"{name}.npy")


def run(recipe: Recipe, parts: Parts, output: Path, job: Job) -> dict[str, str]:
    """Does one job, where its files are not there already -> path: SHA-256 of each of its files.

    Their bytes depend on the recipe, the parts and the job alone.
    """
    paths = files(recipe, job)
    if not all((output / path).is_file() for path in paths):
        contents = _contents(recipe, parts, job)
        for path, content in zip(paths, contents, strict=True):
            with replacing(output / path) as temporary:
                temporary.write_bytes(content)
    return {path: hashlib.sha256((output / path).read_bytes()).hexdigest() for path in paths}


def _contents(recipe: Recipe, parts: Parts, job: Job) -> list[bytes]:
    place = 0 if job.kind == "ensemble" else INSTRUMENTS.index(job.instrument)
    rng = generator(recipe.seed, KINDS.index(job.kind), place, job.index)
    if job.kind == "recording":
        return [_recording(recipe, parts, job, rng)]
    if job.kind == "ensemble":
        rig = humans.read_rig(parts.people / f"{RIG}.npz")
        return ensembles.contents(ensemble(recipe, job.index), rig, parts.fonts, parts.music, parts.people, rng)
    rig = humans.read_rig(parts.people / f"{RIG}.npz")
    body = humans.read_body(parts.people / f"{person(recipe, job)}.npy", rig)
    performer = musicians.draw_musician(job.instrument, body, rng)
    count = recipe.frames if job.kind == "performer" else 1
    return [ply_bytes(*musicians.cloud(performer, body, rig, frame, rng)) for frame in range(count)]


def _recording(recipe: Recipe, parts: Parts, job: Job, rng: np.random.Generator) -> bytes:
    split = split_of(job.index, recipe.recordings)
    choice = VOICES[split][job.instrument]
    voice = choice[job.index % len(choice)]
    work = pieces.WORKS[split][int(rng.integers(len(pieces.WORKS[split])))]
    piece = pieces.read_piece(pieces.path_of(parts.music, work)).parts
    part = sounds.without_rests(sounds.into_range(piece[int(rng.integers(len(piece)))], job.instrument))
    how = sounds.draw_performance(sounds.draw_tempo(part, rng), rng)
    start = part[int(rng.integers(len(part)))].onset
    span = part[-1].onset + part[-1].length
    notes = sounds.excerpt(part, start, recipe.seconds * how.tempo / 60, span)
    played = sounds.perform(notes, how, recipe.seconds, rng)
    wave = sounds.render(played, voice, parts.fonts[voice.font], how, recipe.seconds, recipe.audRate)
    return flac(sounds.levelled(wave, float(rng.uniform(-sounds.LEVEL_DB, sounds.LEVEL_DB))), recipe.audRate)


def flac(wave: np.ndarray, rate_hz: int) -> bytes:
    """A mono wave [L] as a FLAC file of 16 bits.

    Its fixed predictors alone are used, which are whole numbers: how well others fit depends on the processor.
    """
    file = BytesIO()
    soundfile.write(file, sounds.as_16_bits(wave), rate_hz, format="FLAC", subtype="PCM_16", compression_level=0.0)
    return file.getvalue()


def ensemble(recipe: Recipe, index: int) -> ensembles.Ensemble:
    """Who plays what in an ensemble: instruments, performers and a piece of the test split."""
    rng = generator(recipe.seed, len(KINDS), index)
    size = min(2 + (index + 1) % 3, len(recipe.instruments))  # 3, 4, 2, 3, ...
    chosen = sorted(rng.choice(len(recipe.instruments), size, replace=False))
    names = tuple(recipe.instruments[n] for n in chosen)
    first = recipe.performers - counts(recipe.performers)["test"]
    bodies = tuple(
        person(recipe, Job("performer", name, int(rng.integers(first, recipe.performers)))) for name in names
    )
    work = pieces.WORKS["test"][int(rng.integers(len(pieces.WORKS["test"])))]
    return ensembles.Ensemble(names, bodies, work, recipe.seconds)


def as_dict(recipe: Recipe) -> dict:
    """The recipe as JSON has it."""
    return {**asdict(recipe), "instruments": list(recipe.instruments)}
