"""Recordings from files to files: stems, and beside them what shows them and where the musicians stand."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset.audio import Recording
from dataset.captures import list_frames
from jobs.lists import Job
from jobs.names import RESIDUAL, choose_names, stem_files
from jobs.players import Players
from reports.recording_page import write_recording_page
from reports.scene_page import SCENE_HTML, SceneView, three_js
from separation.scene_files import scene_files, write_candidates, write_scene
from separation.separator import Separator
from separation.stems import write_stems
from spatial.adm import write_adm
from spatial.ensemble import open_ensemble
from spatial.glb import write_glb
from utils.errors import InputError
from utils.progress import Bar, say
from utils.sound_files import FLOAT_WAV, Encoding

NO_WALK = "note: no page to walk in without pythreejs: pip install pythreejs"


@dataclass(frozen=True)
class OutputSettings:
    """What is written.

    Attributes:
        encoding: of the stems. template: of their names, see `names.stem_files`.
        masks: as of `Separator.separate`.
        residual: the recording without its stems as well. report: a page to see and hear all of it.
        overwrite: files that are there are replaced.
        about: a line about the model for the page.
    """

    encoding: Encoding = FLOAT_WAV
    template: str = "{name}"
    masks: str = "auto"
    residual: bool = False
    report: bool = False
    overwrite: bool = False
    about: str = ""


@dataclass(frozen=True)
class Outputs:
    """The files of a job: of each stem by its source's name, of what remains and the page if wanted, and of a scene."""

    stems: dict[str, Path]
    residual: dict[str, Path]
    scene: list[Path]
    page: list[Path]

    @property
    def sounds(self) -> dict[str, Path]:
        return self.stems | self.residual

    @property
    def all(self) -> list[Path]:
        return [*self.sounds.values(), *self.scene, *self.page]

    def are_there(self) -> bool:
        """Whether all are on disk; none of the sounds appears there before all are complete."""
        return all(path.exists() for path in self.all)


def outputs_of(job: Job, players: Players, settings: OutputSettings) -> Outputs:
    """Where the stems of a job will be; raises InputError where names or the template do not fit."""
    names = choose_names(job, len(players.seen))
    files = stem_files(job, [*names, RESIDUAL], settings.template, settings.encoding.format)
    residual = {RESIDUAL: files[-1]} if settings.residual else {}
    scene = scene_files(job.output, names) if players.scene else []
    page = [job.output / "report" / "index.html"] if settings.report else []
    return Outputs(dict(zip(names, files, strict=False)), residual, scene, page)


def separate_recording(
    separator: Separator, recording: Recording, job: Job, players: Players, settings: OutputSettings, bar: Bar
) -> float:
    """Separates a recording into files; says where they are.

    Args:
        bar: takes a step for each window, as many as `Separator.num_windows`.

    Returns:
        The seconds that the separation took, without pages and scenes.

    Raises:
        InputError: the recording cannot be read, or a file is there and must not be replaced; a file cannot be written
            (WriteError).
    """
    outputs = outputs_of(job, players, settings)
    check_output(job, outputs.all, settings.overwrite)
    start = time.monotonic()
    pieces = bar.through(separator.stream(recording, players.seen, settings.masks))
    residual = outputs.residual.get(RESIDUAL)
    levels = write_stems(pieces, recording, list(outputs.stems.values()), residual, settings.encoding)
    taken = time.monotonic() - start
    for path, level in zip(outputs.sounds.values(), levels, strict=False):
        say(f"{path}: {level.energy_db:z.1f} dB of the recording's energy")
        if settings.encoding.clips and level.peak > 1:
            beyond_db = 20 * math.log10(level.peak)
            keeping = "--format wav --subtype FLOAT keeps them"
            say(f"note: {path}: clipped: peaks were up to {beyond_db:.1f} dB above full scale; {keeping}")
    if players.scene:
        _write_scene(job, players, outputs)
    if settings.report:
        _write_page(job, players, outputs, settings)
    return taken


def _write_scene(job: Job, players: Players, outputs: Outputs) -> None:
    """Where the musicians stand: for VR/AR engines, sound editors and game engines, and as a picture."""
    folder = job.output
    write_candidates(players.scene, folder, players.key)
    write_scene(players.scene, outputs.stems, folder, players.tracks, **players.about)
    say(f"{folder / 'scene.json'}, {folder / 'scene.png'}: where they stand")
    with open_ensemble(folder) as ensemble:
        write_adm(folder / "scene.wav", ensemble, ensemble.before())
        write_glb(folder / "scene.glb", outputs.stems, players.shown, ensemble.paths)
    say(f"{folder / 'scene.wav'}, {folder / 'scene.glb'}: the same for sound editors (ADM) and for game engines (glTF)")


def _write_page(job: Job, players: Players, outputs: Outputs, settings: OutputSettings) -> None:
    """A page to see and hear the recording and its stems."""
    view = None
    if players.scene:
        view = SceneView(players.scene.floor_height_m, dict(zip(outputs.stems, players.tracks, strict=True)))
    page = write_recording_page(
        *(job.output / "report", job.mixture, outputs.sounds, dict(zip(outputs.stems, players.shown, strict=False))),
        scene=view,
        about=[settings.about, f"masks: {settings.masks}"],
    )
    say(f"to see and hear it: {page}")
    if players.scene:
        say(f"to walk among them: {page.with_name(SCENE_HTML)}" if three_js() else NO_WALK)


def check_output(job: Job, files: Sequence[Path], overwrite: bool) -> None:
    """Refuses to write over the recording or a capture, and unless `overwrite` over anything."""
    captures = list_frames(job.scene) if job.scene else job.points
    given = [path for path in (job.mixture, *map(Path, captures)) if path.exists()]
    for path in files:
        if path.exists() and any(path.samefile(one) for one in given):
            what = "recording" if path.samefile(job.mixture) else "capture"
            raise InputError(f"{path}: is the {what} itself; choose another --output or other --names")
        if path.exists() and not overwrite:
            raise InputError(f"{path}: exists; choose another --output, or --overwrite 1 to replace it")
