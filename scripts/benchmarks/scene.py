"""How often the musicians of simulated scenes are found, and whose their points are said to be."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.rooms import KINDS, OTHER_KINDS, draw_room
from benchmarks.stage import EITHER, STRUCTURE, Room
from separation.scene import split_scene
from utils.errors import InputError

SEEDS = 4  # scenes of a kind
RIGHT, FOUND = 0.95, 0.90  # of the points of musicians and furniture, and of each musician's


@dataclass(frozen=True)
class Outcome:
    """What became of a scene. told: the outcome when the number of musicians was given, judged in the same way."""

    kind: str
    seed: int
    points: int
    count: int
    found: int
    right: float
    least: float
    told_right: float
    told_least: float
    seconds: float

    @property
    def is_counted(self) -> bool:
        return self.found == self.count

    @property
    def is_good(self) -> bool:
        return self.is_counted and self.right >= RIGHT and self.least >= FOUND

    @property
    def is_good_when_told(self) -> bool:
        return self.told_right >= RIGHT and self.told_least >= FOUND


def benchmark_scene(options: argparse.Namespace) -> dict:
    """Prints a row for each kind of scene and the totals; -> the outcome of every scene."""
    kinds = choose_kinds(options.kinds)
    seeds = range(options.seed, options.seed + (1 if options.quick else SEEDS))
    print(f"{'kind of scene':22s}{'scenes':>7s}{'number':>8s}{'points':>8s}{'told N':>8s}{'seconds':>9s}")
    outcomes = []
    for kind in kinds:
        of_kind = [try_scene(kind, seed, draw_room(kind, seed)) for seed in seeds]
        _print_row(kind, of_kind)
        outcomes += of_kind
    _print_row("all", outcomes)
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    print(f"slowest: {slowest.kind}, {slowest.points} points in {slowest.seconds:.1f} s")
    return {"seeds": list(seeds), "right": RIGHT, "found": FOUND, "scenes": [asdict(outcome) for outcome in outcomes]}


def choose_kinds(names: list[str] | None) -> list[str]:
    """The 33 kinds, or those given; raises InputError for an unknown kind."""
    known = KINDS | OTHER_KINDS
    unknown = [name for name in names or [] if name not in known]
    if unknown:
        raise InputError(f"--kinds {unknown[0]!r}: expected some of {', '.join(known)}")
    return names or list(KINDS)


def try_scene(kind: str, seed: int, room: Room) -> Outcome:
    """Splits a scene without and with the number of its musicians."""
    start = time.perf_counter()
    labels = _labels(room, None)
    seconds = time.perf_counter() - start
    right, least = judge(labels, room.truth)
    told_right, told_least = judge(_labels(room, room.count), room.truth)
    found = int(labels.max()) + 1
    return Outcome(kind, seed, len(room.xyz), room.count, found, right, least, told_right, told_least, seconds)


def judge(labels: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The share of points assigned correctly, and the share of points found of the musician that was found worst.

    Counted are the points of musicians and furniture, and whatever else was taken for a musician's. labels, truth:
    `[P]`; labels are matched with the musicians so that most points are right.
    """
    count, found = truth.max() + 1, labels.max() + 1
    overlap = np.zeros((count, max(found, count)), int)
    owned = (truth >= 0) & (labels >= 0)
    np.add.at(overlap, (truth[owned], labels[owned]), 1)
    matched = overlap[linear_sum_assignment(-overlap)]
    counted = (truth != EITHER) & ((truth != STRUCTURE) | (labels >= 0))
    right = matched.sum() + ((labels < 0) & (truth == -1)).sum()
    return float(right / counted.sum()), float((matched / np.bincount(truth[truth >= 0])).min())


def _labels(room: Room, told: int | None) -> np.ndarray:
    """Whose the points are said to be; nobody's where nobody is found."""
    try:
        return split_scene(room.xyz, room.rgb, told).labels
    except InputError:
        return np.full(len(room.xyz), -1)


def _print_row(kind: str, outcomes: list[Outcome]) -> None:
    counts = [sum(getattr(o, name) for o in outcomes) for name in ("is_counted", "is_good", "is_good_when_told")]
    seconds = np.mean([outcome.seconds for outcome in outcomes])
    print(f"{kind:22s}{len(outcomes):7d}{counts[0]:8d}{counts[1]:8d}{counts[2]:8d}{seconds:9.2f}", flush=True)
