"""Fits the weights by which heads and persons are told from furniture, to simulated scenes; prints them.

    python scripts/fit_people.py heads        # WEIGHTS of separation/heads.py
    python scripts/fit_people.py people       # WEIGHTS of separation/people.py, which needs those of the heads first

The scenes have other seeds than those of `scripts/benchmark.py scene`, and to each kind come things of any shape.
"""

from __future__ import annotations

import signal

# Ctrl-C while libraries load, in a worker too, ends without a traceback.
if __name__ in ("__main__", "__mp_main__") and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.spatial import cKDTree

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.rooms import KINDS, OTHER, STRUCTURE, Room, Stage
from demo_data.furniture import block
from demo_data.shapes import Surface, capsule, ellipsoid, merge, tube

from separation.footprints import find_parts
from separation.heads import find_heads
from separation.room import Cleared, clear
from utils.errors import run_command
from utils.options import ArgumentParser, whole

FIRST_SEED = 1000
PENALTY = 0.002  # on the squares of the weights of measures of variance 1, for each example
HEAD_M = 0.15  # about a top, where its owner is looked for
OWN_SHARE = 0.5  # of a musician's voxels that make a part one


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["heads", "people"])
    parser.add_argument("--scenes", type=whole(1), default=4, help="of each kind (default: 4)")
    options = parser.parse_args()
    collect = heads_of if options.what == "heads" else parts_of
    measures, labels = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + options.scenes):
        for number in range(len(KINDS)):
            room = draw(seed, number)
            for measured, label in collect(room, clear(room.xyz)):
                measures.append(measured)
                labels.append(label)
    x, y = np.array(measures), np.array(labels)
    weights = fit(x, y)
    score = x @ weights[:-1] + weights[-1]
    print(f"{int(y.sum())} persons, {(score[y] < 0).sum()} missed; {(~y).sum()} others, {(score[~y] >= 0).sum()} taken")
    print("WEIGHTS = np.array([" + ", ".join(f"{weight:.3g}" for weight in weights) + "])")


def draw(seed: int, number: int) -> Room:
    """A scene of the kind of that number, and some things of any shape in it."""
    stage = Stage(np.random.default_rng([seed, number]))
    list(KINDS.values())[number](stage)
    stage.pixel_rad *= stage.rng.uniform(0.55, 1.2)  # near and far cameras, of few and many pixels
    for side in (-1, 1):
        x = side * (2.6 + stage.rng.uniform(0, 0.4))
        stage.thing(anything(stage.rng), x, stage.rng.uniform(-1.5, 1.5), stage.rng.uniform(-1, 1))
    return stage.finish()


def anything(rng: np.random.Generator) -> Surface:
    """Blocks, posts, barrels, balls on posts, stacks of boxes: 0.8 to 2 m high."""
    height, width, depth = rng.uniform(0.8, 2.0), rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.6)
    colour, kind = rng.random(3), rng.integers(6)
    if kind == 0:
        return block(0, 0, 0, (width, height, depth), colour)
    if kind == 1:
        return tube(np.array([[0, 0, 0], [0, height, 0]]), np.array([width, width * rng.uniform(0.3, 1.2)]) / 2, colour)
    if kind == 2:
        return capsule(np.array([0, 0.2, 0]), np.array([0, height - width / 2, 0]), width / 2, width / 2, colour)
    if kind == 3:
        post = tube(np.array([[0, 0, 0], [0, height, 0]]), np.full(2, rng.uniform(0.02, 0.1)), colour)
        return merge(
            [post, ellipsoid(np.array([0, height, 0]), np.array([width, rng.uniform(0.2, 0.6), depth]) / 2, colour)]
        )
    sizes = sorted(rng.uniform(0.15, 0.9, 3), reverse=bool(kind == 4))
    return merge([block(0, n * height / 3, 0, (size, height / 3, size * 0.7), colour) for n, size in enumerate(sizes)])


def heads_of(room: Room, cleared: Cleared) -> list[tuple[np.ndarray, bool]]:
    """The measures of each musician's likeliest head, and of the tops of what is none."""
    tree, best, found = cKDTree(room.xyz), {}, []
    for head in find_heads(cleared.fine, cleared.fine_height):
        near = room.truth[tree.query_ball_point(head.place - (0, HEAD_M / 2, 0), HEAD_M)]
        owner = int(np.bincount(near + 3).argmax()) - 3 if len(near) else STRUCTURE
        if owner >= 0:
            best.setdefault(owner, head)  # the best come first
        elif owner in (OTHER, STRUCTURE):
            found.append((head.measures, False))
    return found + [(head.measures, True) for head in best.values()]


def parts_of(room: Room, cleared: Cleared) -> list[tuple[np.ndarray, bool]]:
    """The measures of the parts of a scene, and whether each is a musician; halves of musicians are left aside."""
    truth = room.truth[cKDTree(room.xyz).query(cleared.voxels)[1]]
    sizes, found = np.bincount(truth[truth >= 0], minlength=room.count), []
    for part in find_parts(cleared.voxels, cleared.height, find_heads(cleared.fine, cleared.fine_height)):
        counts = np.bincount(truth[part.members] + 3, minlength=3 + room.count)
        owner = int(counts.argmax()) - 3
        if part.measures is None or (owner >= 0 and counts[owner + 3] < OWN_SHARE * sizes[owner]):
            continue
        found.append((part.measures, owner >= 0))
    return found


def fit(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weights `[n + 1]` of measures `[M, n]` for labels `[M]`; both kinds of example count the same in all."""
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    z, sign = np.column_stack([(x - mean) / spread, np.ones(len(x))]), np.where(y, 1.0, -1.0)
    share = np.where(y, 0.5 / y.sum(), 0.5 / (~y).sum())

    def loss(weights: np.ndarray) -> float:
        return float(share @ np.logaddexp(0, -sign * (z @ weights)) + PENALTY * (weights[:-1] ** 2).sum())

    weights = minimize(loss, np.zeros(z.shape[1])).x
    return np.append(weights[:-1] / spread, weights[-1] - (weights[:-1] * mean / spread).sum())


if __name__ == "__main__":
    run_command(main)
