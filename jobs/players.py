"""Who plays: the clouds of the musicians, each in a file of its own or all in one capture, or their instruments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dataset.captures import Capture, choose_frames, list_frames, read_capture
from dataset.placing import shift_to_origin
from jobs.lists import Job
from separation.scene import Scene, cloud_for_model, split_scene
from separation.scene_files import CANDIDATES, capture_key, read_candidates
from separation.separator import Cloud, Seen, Separator
from separation.tracks import Track, track_musicians
from utils.errors import InputError
from utils.progress import Progress, say
from utils.seeding import generator

PLACES = ("origin", "keep")
TRACK_STEP_S = 0.5  # between frames in which the musicians are found again


@dataclass(frozen=True)
class CaptureSettings:
    """How captures are read, and who is taken of a scene.

    Attributes:
        up: the axis that points up. unit: of the coordinates, or `auto`. columns: of text files, or None.
        place: `origin` moves a musician's clouds to where training clouds stand, `keep` leaves them.
        seed: of the frames that are drawn from folders.
        fps: frames a second of a folder of scenes.
        num_sources: musicians in a scene; None: as many as are found.
        keep, drop: candidates of a scene by their numbers from 1: those that play; of those found, who does not.
    """

    up: str = "y"
    unit: str = "auto"
    columns: Sequence[str] | None = None
    place: str = PLACES[0]
    seed: int = 1234
    fps: float = 15
    num_sources: int | None = None
    keep: Sequence[int] = ()
    drop: Sequence[int] = ()


@dataclass(frozen=True)
class Players:
    """The musicians of a recording, from left to right if they were found in a scene.

    Attributes:
        seen: of each what the model takes. shown: of each the cloud to show; none for a model of labels.
        scene, tracks: the scene they were found in, and where each is over time.
        about, key: facts about its capture for `scene.json`, and the capture's key for the candidates that are kept.
    """

    seen: list[Seen]
    shown: list[Cloud] = field(default_factory=list)
    scene: Scene | None = None
    tracks: list[Track] = field(default_factory=list)
    about: dict = field(default_factory=dict)
    key: str = ""


def read_players(separator: Separator, job: Job, settings: CaptureSettings) -> Players:
    """Reads what tells who plays in a recording; says what was assumed about captures.

    Raises:
        InputError: a capture cannot be read, or nobody is in it.
    """
    if job.labels:
        players = Players(list(job.labels))
    elif job.scene:
        players = _read_scene(job, settings)
    else:
        clouds = [read_source(separator, path, n, settings) for n, path in enumerate(job.points)]
        players = Players(clouds, shown=[frames[0] for frames in clouds])
    if len(players.seen) > separator.num_mix:
        say(f"note: {len(players.seen)} sources; the run was trained on mixtures of {separator.num_mix}")
    return players


def read_source(separator: Separator, path: str, number: int, settings: CaptureSettings) -> list[Cloud]:
    """The clouds of one musician, a file or frames of a folder, as `Separator.separate` takes them.

    number: of the musician, which the frames that are drawn depend on.

    Raises:
        InputError: one cannot be read.
    """
    chosen = choose_frames(list_frames(path), separator.frames, generator(settings.seed, number))
    clouds, shift = [], None
    for frame in dict.fromkeys(chosen):
        capture = read_capture(frame, settings.up, settings.unit, settings.columns)
        _tell(frame, capture)
        if settings.place == "origin" and not clouds:  # later frames move with the first
            shift = shift_to_origin(capture.xyz)
            if shift is not None:
                moved = ", ".join(f"{metres:+z.2f}" for metres in shift)
                say(f"{path}: moved by ({moved}) m to the origin, where training clouds stand")
        xyz = capture.xyz if shift is None else (capture.xyz + shift).astype(np.float32)
        separator.voxels_of(frame, xyz, capture.rgb)  # errors about it have its name
        clouds.append((xyz, capture.rgb))
    return clouds


def _read_scene(job: Job, settings: CaptureSettings) -> Players:
    """The musicians in the first capture of all of them, followed through the others."""
    frames = list_frames(job.scene)
    capture = read_capture(frames[0], settings.up, settings.unit, settings.columns, is_scene=True)
    _tell(frames[0], capture)
    key = capture_key(frames[0], up=settings.up, unit=settings.unit, columns=settings.columns)
    try:
        scene = _find_scene(job, capture, key, settings)
    except InputError as error:
        raise InputError(f"{job.scene}: {error}") from error
    for part in scene.left_out:
        say(f"{job.scene}: left out: {part.reason} ({part.num_points} points)")
    if not scene.has_floor:
        say(f"{job.scene}: no floor in sight; if there is one, perhaps another axis points up: --up z")
    say(f"{job.scene}: {len(scene.musicians)} musicians")
    return Players(
        [[(cloud_for_model(musician), musician.rgb)] for musician in scene.musicians],
        shown=[(musician.xyz, musician.rgb) for musician in scene.musicians],
        scene=scene,
        tracks=_follow(job.scene, frames, scene, capture, settings),
        about={
            "capture": job.scene,
            "unit_of_capture": capture.unit,
            "up_of_capture": settings.up,
            "shift_m": None if capture.shift_m is None else capture.shift_m.tolist(),
        },
        key=key,
    )


def _find_scene(job: Job, capture: Capture, key: str, settings: CaptureSettings) -> Scene:
    """The musicians of a capture; with `keep` or `drop` others of the candidates that were found before, if they were.

    Raises:
        InputError: as `split_scene` and `Scene.with_taken`.
    """
    chosen = settings.keep or settings.drop
    scene = read_candidates(job.output, key, capture.xyz, capture.rgb) if chosen else None
    if scene is None:
        scene = split_scene(capture.xyz, capture.rgb, settings.num_sources)
    else:
        say(f"{job.scene}: the candidates of {job.output / CANDIDATES}, as found earlier")
    if settings.keep:
        scene = scene.with_taken(number - 1 for number in settings.keep)
    elif settings.drop:
        scene.with_taken(number - 1 for number in settings.drop)  # they are there
        scene = scene.with_taken(set(scene.taken) - {number - 1 for number in settings.drop})
    return scene


def _follow(folder: str, frames: list[str], scene: Scene, first: Capture, settings: CaptureSettings) -> list[Track]:
    """Where the musicians are over time, if a scene is a folder of frames; else tracks without a moment.

    Frames are taken twice a second. A moment in which no musician is found is missing, and the reader is told.

    Raises:
        InputError: a frame cannot be read.
    """
    step = max(1, round(settings.fps * TRACK_STEP_S))
    if len(frames) <= step:
        return [[] for _ in scene.musicians]

    missing: list[str] = []

    def look(number: int) -> tuple[float, Scene] | None:
        capture = read_capture(frames[number], settings.up, settings.unit, settings.columns, is_scene=True)
        shifts = [np.zeros(3) if one.shift_m is None else one.shift_m for one in (capture, first)]
        try:
            found = split_scene(capture.xyz + (shifts[0] - shifts[1]), capture.rgb)
        except InputError as error:
            missing.append(f"{frames[number]}: {error}")
            return None
        return number / settings.fps, found

    tracks = track_musicians(scene, filter(None, map(look, Progress(range(step, len(frames), step), "following"))))
    if missing:
        say(
            f"note: moments at which no musicians were found, which the tracks skip: {len(missing)}; "
            f"the first: {missing[0]}"
        )
    say(f"{folder}: followed through {len(frames)} frames, {len(frames) / settings.fps:.1f} s")
    return tracks


def _tell(path: str, capture: Capture) -> None:
    """Says what was made of a cloud that is not simply a musician in metres."""
    for note in capture.notes:
        say(f"{path}: {note}")
    if not capture.is_plausible:
        say(
            f"{path}: {capture.height_m:.3g} m high, not a plausible height for a musician; "
            "perhaps another axis points up: --up z"
        )
