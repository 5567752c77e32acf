"""Checks of everything that index files name, before anything is trained on it; every file is read once."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from dataset.captures import HEIGHTS_M, height_of
from dataset.check_recordings import CheckedRecording, alike_recordings, check_recording
from dataset.colours import full_scale, scale_note
from dataset.findings import ERRORS, WARNINGS, Finding, reason_of
from dataset.index import IndexRow, parse_index
from dataset.ply import vertex_fields
from dataset.points import read_points
from dataset.settings import FrameSettings
from dataset.voxels import voxelise
from utils.errors import InputError
from utils.files import words_of
from utils.parallel import mapper
from utils.progress import Progress

SAMPLED_FRAMES = 5  # read of each performer with clouds `sampled`


@dataclass(frozen=True)
class Needs:
    """What the data will be used for: the options of the same names in `arguments.py`.

    clouds: `all` frames are read, or `sampled`: 5 of each performer, or `none`.
    """

    num_mix: int = 2
    num_frames: int = 1
    stride_frames: int = 1
    aud_len: int = 65535
    aud_rate: int = 11025
    voxel_size: float = 0.02
    clouds: str = "all"


@dataclass
class ListSummary:
    """Sizes of one index file. instruments: rows of each. problems: findings of each kind in the files it names."""

    path: str
    rows: int
    hours: float
    performers: int
    frames: int
    instruments: dict[str, int]
    problems: Counter = field(default_factory=Counter)


def check_data(lists: dict[str, str | Path], needs: Needs, workers: int = 1) -> tuple[list[ListSummary], list[Finding]]:
    """Reads index files, given by name, and once every recording and cloud that they name.

    Returns:
        A summary of each list and all findings, errors first, sorted by kind and path.

    Raises:
        InputError: an index file is missing, not text, or empty.
    """
    findings: list[Finding] = []
    rows: dict[str, list[IndexRow]] = {}
    for name, path in lists.items():
        parsed = parse_index(path)
        rows[name] = [row for row in parsed if isinstance(row, IndexRow)]
        findings += [_wrong_row(path, row, name) for row in parsed if isinstance(row, InputError)]
        findings += check_rows(path, rows[name], name, needs)
    by_audio = _lists_of((row.audio_path, name) for name in rows for row in rows[name])
    by_folder = _lists_of((row.frames_path, name) for name in rows for row in rows[name])
    counts: dict[str, int] = {}
    for row in (row for part in rows.values() for row in part):
        counts[row.frames_path] = max(row.num_frames, counts.get(row.frames_path, 0))
    to_read: dict[str, str] = {}  # cloud -> its folder
    for folder, count in counts.items():
        present, missing = find_frames(folder, count)
        findings += [replace(found, lists=by_folder[folder]) for found in missing]
        to_read |= {os.path.join(folder, frame): folder for frame in _chosen(present, needs.clouds)}

    with mapper(workers) as mapped:
        check = partial(check_recording, rate_hz=needs.aud_rate, window=needs.aud_len)
        recordings = _read(list(by_audio), check, "recordings", mapped)
        clouds = _read(list(to_read), partial(check_cloud, voxel_size_m=needs.voxel_size), "clouds", mapped)
    for path, recording in recordings.items():
        findings += [replace(found, lists=by_audio[path]) for found in recording.findings]
    for path, found_there in clouds.items():
        findings += [replace(found, lists=by_folder[to_read[path]]) for found in found_there]
    findings += shared_between(by_audio, alike_recordings(recordings, by_audio), "recording")
    findings += shared_between(by_folder, {path: (os.path.realpath(path), "") for path in by_folder}, "performer")

    order = {kind: place for place, kind in enumerate(ERRORS + WARNINGS)}
    findings.sort(key=lambda found: (order[found.kind], found.path))
    summaries = [_summary(name, lists[name], rows[name], recordings, findings) for name in lists]
    return summaries, findings


def check_rows(path: str | Path, rows: list[IndexRow], name: str, needs: Needs) -> list[Finding]:
    """Findings about the rows of one list: too few for mixtures of `needs.num_mix` sources with `needs.num_frames`
    frames.
    """
    findings = []
    needed = FrameSettings(needs.num_frames, needs.stride_frames).needed
    for row in rows:
        if row.num_frames < needed:
            reason = f"{row.num_frames} frame(s), --num_frames and --stride_frames need {needed}"
            findings.append(Finding("too few frames", row.origin, reason, (name,)))
    instruments = sorted({row.instrument for row in rows})
    if len(instruments) < needs.num_mix:
        reason = f"holds {len(instruments)} instrument(s) ({', '.join(instruments)}), --num_mix needs {needs.num_mix}"
        findings.append(Finding("too few instruments", str(path), reason, (name,)))
    return findings


def find_frames(folder: str, count: int) -> tuple[list[str], list[Finding]]:
    """Which of the frames `00000.ply ...` below `count` exist in a performer's folder, and a finding if some are
    missing.
    """
    expected = [f"{frame:05d}.ply" for frame in range(count)]
    try:
        there = {entry.name for entry in os.scandir(folder) if entry.is_file()}
    except OSError as error:
        return [], [Finding("missing frames", folder, f"cannot be read ({words_of(error)})")]
    missing = [frame for frame in expected if frame not in there]
    if not missing:
        return expected, []
    shown = ", ".join(missing[:3]) + (" ..." if len(missing) > 3 else "")
    reason = f"{len(missing)} of {count} frames are not there: {shown}"
    return [frame for frame in expected if frame in there], [Finding("missing frames", folder, reason)]


def check_cloud(path: str, voxel_size_m: float) -> list[Finding]:
    """Reads and voxelises a cloud; its height is that of all but the highest and the lowest hundredth of points."""
    try:
        xyz, rgb = read_points(path)
        voxelise(xyz, xyz, voxel_size_m)
    except InputError as error:
        return [Finding("unreadable cloud", path, reason_of(error, path))]
    findings = []
    if rgb is None:
        fields = " ".join(vertex_fields(path))
        reason = f"no red, green, blue, but {fields}; use --rgbs_feature 0"
        findings.append(Finding("cloud without colours", path, reason))
    else:
        findings += check_colours(path, rgb)
    height = height_of(xyz)
    if not HEIGHTS_M[0] <= height <= HEIGHTS_M[1]:
        reason = f"{height:.3g} high along Y, expected {HEIGHTS_M[0]} to {HEIGHTS_M[1]} m: is it in metres, Y up?"
        findings.append(Finding("implausible height", path, reason))
    return findings


def check_colours(path: str, rgb: np.ndarray) -> list[Finding]:
    """Findings about colours `[P, 3]` in the numbers of the file: wrong, or not in the scale that their type
    suggests.
    """
    try:
        note = scale_note(rgb, full_scale(rgb))
    except InputError as error:
        return [Finding("colours out of range", path, f"{error}; training with --rgbs_feature 1 stops at it")]
    return [Finding("colours of another scale", path, note)] if note else []


def shared_between(
    lists_of: dict[str, tuple[str, ...]], alike: dict[str, tuple[str, str]], what: str
) -> Iterable[Finding]:
    """Findings about what several lists share; `alike`: path -> (the path that stands for all copies of it, why)."""
    groups = defaultdict(list)
    for path in lists_of:
        groups[alike[path][0]].append(path)
    for paths in groups.values():
        lists = tuple(dict.fromkeys(name for path in paths for name in lists_of[path]))
        if len(lists) > 1:
            others = ", ".join(path + (f": {alike[path][1]}" if alike[path][1] else "") for path in paths[1:])
            names = f" (also {others})" if others else ""
            reason = f"in the lists {' and '.join(lists)}{names}: scores need {what}s that were not trained on"
            yield Finding(f"shared {what}", paths[0], reason, lists)


def _lists_of(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """The names of the lists of each path, from pairs (path, list)."""
    lists: dict[str, dict[str, None]] = defaultdict(dict)
    for path, name in pairs:
        lists[path][name] = None
    return {path: tuple(names) for path, names in lists.items()}


def _chosen(frames: list[str], clouds: str) -> list[str]:
    if clouds == "none" or not frames:
        return []
    if clouds == "all":
        return frames
    return [frames[i] for i in sorted(set(np.linspace(0, len(frames) - 1, SAMPLED_FRAMES).round().astype(int)))]


def _read(paths: list[str], check: Callable[[str], object], label: str, mapped: Callable) -> dict:
    progress, results = Progress(paths, label, every=max(20, len(paths) // 20)), {}
    for path, result in zip(progress, mapped(check, paths), strict=True):
        results[path] = result
    return results


def _wrong_row(path: str | Path, error: InputError, name: str) -> Finding:
    number, _, reason = reason_of(error, path, separator=":").partition(": ")
    return Finding("wrong row", f"{path}:{number}", reason, (name,))


def _summary(
    name: str, path: str | Path, rows: list[IndexRow], recordings: dict[str, CheckedRecording], findings: list[Finding]
) -> ListSummary:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.frames_path] = max(row.num_frames, counts.get(row.frames_path, 0))
    return ListSummary(
        path=str(path),
        rows=len(rows),
        hours=sum(recordings[audio].seconds for audio in {row.audio_path for row in rows}) / 3600,
        performers=len(counts),
        frames=sum(counts.values()),
        instruments=dict(sorted(Counter(row.instrument for row in rows).items())),
        problems=Counter(found.kind for found in findings if name in found.lists),
    )
