"""What the demo data set consists of: one job for every recording, performer and training body."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile

from dataset.points import ply_bytes
from demo_data import bodies, voices
from utils.files import remove_leftovers, replacing

INSTRUMENTS = ("cello", "doublebass", "guitar", "saxophone", "violin")
KINDS = ("recording", "performer", "body")
TEST_SHARE = 5  # one test body for so many training bodies
MP3_COMPRESSION = 0.3  # 0 is best, 1 smallest: some 24 dB above the coder's error


@dataclass(frozen=True)
class Recipe:
    """The arguments that decide every byte of the data set."""

    seed: int
    recordings: int
    seconds: float
    performers: int
    frames: int
    bodies: int
    rate_hz: int = voices.SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Job:
    """The smallest piece of work: one of KINDS, its instrument, and its number from 0."""

    kind: str
    instrument: str
    index: int


def jobs(recipe: Recipe) -> list[Job]:
    """All jobs of a data set; test bodies are numbered after the training bodies."""
    test_bodies = max(1, recipe.bodies // TEST_SHARE)
    counts = {
        "recording": recipe.recordings,
        "performer": recipe.performers,
        "body": recipe.bodies + test_bodies,
    }
    return [Job(kind, name, index) for kind in KINDS for name in INSTRUMENTS for index in range(counts[kind])]


def files(recipe: Recipe, job: Job) -> list[str]:
    """The paths a job writes, relative to the data set's folder."""
    if job.kind == "recording":
        return [f"audio/{job.instrument}/{job.instrument}_{job.index:04d}.mp3"]
    if job.kind == "performer":
        folder = f"frames/{job.instrument}/person_{job.index + 1}"
        return [f"{folder}/{frame:05d}.ply" for frame in range(recipe.frames)]
    split, number = ("train", job.index) if job.index < recipe.bodies else ("test", job.index - recipe.bodies)
    return [f"bodies/{job.instrument}/{split}/body_{number:04d}.ply"]


def run(recipe: Recipe, output: Path, job: Job) -> tuple[int, int]:
    """Does one job -> (files written, bytes written). Its bytes depend on the recipe and the job alone."""
    rng = np.random.default_rng([recipe.seed, KINDS.index(job.kind), INSTRUMENTS.index(job.instrument), job.index])
    contents = _recording(recipe, job, rng) if job.kind == "recording" else _clouds(recipe, job, rng)
    paths = files(recipe, job)
    for path, content in zip(paths, contents, strict=True):
        write_whole(output / path, content)
    return len(paths), sum(map(len, contents))


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name, then renames it, so that no half file ever bears its name."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def remove_files(output: Path, paths: list[Path]) -> None:
    """Deletes files below `output`, what killed processes left beside them, and the folders this leaves empty."""
    for folder in {path.parent for path in paths if path.parent.is_dir()}:
        remove_leftovers(folder)
    for path in paths:
        path.unlink(missing_ok=True)
    folders = {parent for path in paths for parent in path.relative_to(output).parents if parent.name}
    for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
        if (output / folder).is_dir() and not any((output / folder).iterdir()):
            (output / folder).rmdir()


def _recording(recipe: Recipe, job: Job, rng: np.random.Generator) -> list[bytes]:
    mp3 = BytesIO()
    wave = voices.recording(job.instrument, recipe.seconds, rng, recipe.rate_hz)
    soundfile.write(
        mp3, wave, recipe.rate_hz, format="MP3", subtype="MPEG_LAYER_III", compression_level=MP3_COMPRESSION
    )
    return [mp3.getvalue()]


def _clouds(recipe: Recipe, job: Job, rng: np.random.Generator) -> list[bytes]:
    performer = bodies.draw_performer(job.instrument, rng)
    count = recipe.frames if job.kind == "performer" else 1
    return [ply_bytes(*bodies.cloud(performer, frame, rng)) for frame in range(count)]
