"""Many recordings one after another: failures are reported and skipped, the rest is separated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dataset.audio import open_recording
from jobs.lists import Job
from jobs.players import CaptureSettings, Players, read_players
from jobs.recordings import OutputSettings, outputs_of, separate_recording
from separation.separator import Separator
from utils.errors import InputError, user_error
from utils.files import real_path, words_of
from utils.progress import Bar, complain


@dataclass
class Tally:
    """How many recordings were separated, were there already, and failed; seconds of those separated, and of work.

    taken: what is at places where nothing may be written any more: recordings, and stems of other recordings.
    """

    separated: int = 0
    kept: int = 0
    failed: int = 0
    sound_s: float = 0.0
    taken_s: float = 0.0
    taken: dict[Path, str] = field(default_factory=dict)


def separate_batch(
    separator: Separator,
    jobs: Sequence[Job | InputError],
    captures: CaptureSettings,
    outputs: OutputSettings,
    resume: bool = False,
) -> Tally:
    """Separates recordings with one model and one bar; an error becomes a line on standard error.

    Args:
        jobs: from `jobs.lists.batch_of`; an InputError in place of a job counts as a failure.
        resume: recordings whose files are all on disk are left as they are; those of which some are there, as a batch
            that was stopped leaves them, are separated again.
    """
    tally = Tally()
    mixtures = [job.mixture for job in jobs if isinstance(job, Job)]
    tally.taken |= {real_path(mixture): f"the recording {mixture}" for mixture in mixtures}
    waiting = []
    for job in jobs:
        try:
            if isinstance(job, InputError):
                raise job
            with open_recording(str(job.mixture)) as recording:
                waiting.append((job, separator.num_windows(recording)))
        except (InputError, OSError) as error:
            _fail(tally, job, error)
    total = sum(windows for _, windows in waiting)
    seen, players = None, None
    with Bar(total, "separating", every=max(20, total // 20)) as bar:
        for job, windows in waiting:
            before, bar.note = bar.done, job.mixture.name
            try:
                if players is None or job.seen != seen:
                    seen, players = job.seen, None
                    players = read_players(separator, job, captures)
                _separate(separator, job, players, outputs, resume, bar, tally)
            except (InputError, OSError) as error:
                _fail(tally, job, error)
            finally:
                bar.leave_out(windows - (bar.done - before))
    return tally


def _separate(
    separator: Separator,
    job: Job,
    players: Players,
    outputs: OutputSettings,
    resume: bool,
    bar: Bar,
    tally: Tally,
) -> None:
    files = outputs_of(job, players, outputs)
    places = list(map(real_path, files.all))
    for place in places:
        if place in tally.taken:
            raise InputError(f"its {place.name} would be where {tally.taken[place]} is; choose another output or name")
    tally.taken |= dict.fromkeys(places, f"that of {job.mixture}")
    if resume:
        if files.are_there():
            tally.kept += 1
            return
        outputs = replace(outputs, overwrite=True)
    start = time.monotonic()
    with open_recording(str(job.mixture)) as recording:
        separate_recording(separator, recording, job, players, outputs, bar)
        tally.sound_s += recording.num_samples / recording.rate_hz
    tally.taken_s += time.monotonic() - start
    tally.separated += 1


def _fail(tally: Tally, job: Job | InputError, error: InputError | OSError) -> None:
    """Reports why a recording was not separated."""
    told = error
    if isinstance(error, OSError):
        told = user_error(error) or InputError(f"{error.filename or job.mixture}: {words_of(error)}")
    tally.failed += 1
    where = []
    if isinstance(job, Job):
        where = [job.origin] * bool(job.origin) + [str(job.mixture)] * (not str(told).startswith(f"{job.mixture}: "))
    complain(": ".join(["error", *where, str(told)]))
