"""Fits, on simulated scenes, the weights that distinguish heads and persons from furniture; prints and writes them.

    python scripts/fit_people.py heads --scenes 4       # separation/heads.txt
    python scripts/fit_people.py people --scenes 10     # separation/people.txt, which needs the heads first

The scenes are of the kinds of `scripts/benchmark.py scene`, with other seeds, other cameras, and more things about:
furniture, and blocks, barrels and stacks of any shape. The same command writes the same weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse
import multiprocessing
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from benchmarks.rooms import KINDS
from benchmarks.stage import OTHER, STRUCTURE, Room, Stage
from demo_data import furniture
from demo_data.furniture import block
from demo_data.shapes import Surface, capsule, ellipsoid, merge, tube
from scipy.spatial import cKDTree
from tqdm import tqdm

from separation import footprints, heads, people
from separation.logistic import Logistic
from separation.room import Cleared, clear
from utils.errors import run_command
from utils.files import replacing
from utils.options import ArgumentParser, whole

FIRST_SEED = 2000
PLACES = [(side * 2.8, z) for side in (-1, 1) for z in (-1.9, -0.6, 0.7)]  # x, z of what is added to a scene
ADDED, ANYTHING = 0.75, 0.45  # chance that something is at such a place, and that it is no furniture
FURNITURE = [furniture.bookcase, furniture.loudspeaker, furniture.plant, furniture.bush, furniture.panel]
FURNITURE += [furniture.coat_stand, furniture.lamp, furniture.chair, furniture.table, furniture.sofa]
FURNITURE += [furniture.upright_piano, furniture.music_stand]
HEAD_M = 0.15  # about a top, where its owner is looked for
ROUNDS = 5  # rounds of fitting to the likeliest top of each musician
HIDDEN, SEEN_HEAD = (0.2, 0.6), 0.3  # share of a part that is hidden; score of a head that is not
PURE, FRAGMENT, OWN_SHARE = 0.7, 0.35, 0.55  # shares: of a part that is one musician's, of a musician that is in a part

Example = tuple[dict[str, float], int]  # measures, and of whom: the number of the musician in the scene, or -1


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["heads", "people"])
    parser.add_argument("--scenes", type=whole(1), default=10, help="of each kind (default: 10)")
    parser.add_argument("--workers", type=whole(1), default=2, help="processes (default: 2)")
    parser.add_argument("--output", type=Path, help="file to write (default: the one that is read)")
    options = parser.parse_args()
    collect, fit = (heads_of, fit_heads) if options.what == "heads" else (parts_of, fit_people)
    jobs = [(collect, seed, n) for seed in range(FIRST_SEED, FIRST_SEED + options.scenes) for n in range(len(KINDS))]
    with multiprocessing.Pool(options.workers) as pool:
        scenes = list(tqdm(pool.imap(_of_scene, jobs), options.what, len(jobs), mininterval=5))
    model, measures, labels = fit(scenes)
    scores = np.array([model(one) for one in measures])
    missed, taken = (scores[labels] < 0.5).sum(), (scores[~labels] >= 0.5).sum()
    print(f"{labels.sum()} {options.what}, {missed} missed; {(~labels).sum()} others, {taken} taken")
    text = model.text(f"Written by scripts/fit_people.py {options.what} --scenes {options.scenes}")
    print(text, end="")
    with replacing(options.output or Path(people.__file__).with_name(f"{options.what}.txt")) as temporary:
        temporary.write_text(text)


def _of_scene(job: tuple[Callable, int, int]) -> list[Example]:
    collect, seed, number = job
    room = draw(seed, number)
    return collect(room, clear(room.xyz))


def draw(seed: int, number: int) -> Room:
    """A scene of the kind of that number with more things in it, of a camera of few or many pixels and more noise."""
    stage = Stage(np.random.default_rng([seed, number]))
    list(KINDS.values())[number](stage)
    rng = stage.rng
    stage.pixel_rad *= rng.uniform(0.55, 1.4)
    stage.noise = max(stage.noise, rng.uniform(0.5, 2.5))
    for x, z in PLACES:
        if rng.random() < ADDED:
            make = anything if rng.random() < ANYTHING else FURNITURE[rng.integers(len(FURNITURE))]
            stage.thing(make(rng), x + rng.uniform(-0.2, 0.2), z + rng.uniform(-0.3, 0.3), rng.uniform(-1, 1))
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


def heads_of(room: Room, cleared: Cleared) -> list[Example]:
    """The measures of the tops in a scene, of musicians and of other things."""
    tree, found = cKDTree(room.xyz), []
    owners = np.where(room.is_person, room.truth, np.minimum(room.truth, OTHER))
    for place, measures in heads.find_tops(cleared.fine, cleared.fine_height):
        near = owners[tree.query_ball_point(place - (0, HEAD_M / 2, 0), HEAD_M)]
        owner = int(np.bincount(near + 3).argmax()) - 3 if len(near) else STRUCTURE
        if owner >= 0 or owner in (OTHER, STRUCTURE):
            found.append((measures, max(owner, -1)))
    return found


def parts_of(room: Room, cleared: Cleared) -> list[Example]:
    """The measures of the parts of a scene, seen as they are and half hidden.

    A small piece of a musician is no person; a large one is left aside, and what is left of one without its head.
    """
    rng = np.random.default_rng(len(room.xyz))
    voxels, height = cleared.voxels, cleared.height
    nearest = cKDTree(room.xyz).query(voxels)[1]
    truth = np.where(room.is_person[nearest], room.truth[nearest], -1)
    sizes, found = np.bincount(truth[truth >= 0], minlength=room.count), []
    of_fine = cKDTree(voxels).query(cleared.fine)[1]
    for part in footprints.find_parts(voxels, height, heads.find_heads(cleared.fine, cleared.fine_height)):
        counts = np.bincount(truth[part.members] + 1, minlength=1 + room.count)
        owner = int(counts.argmax()) - 1
        own = counts[owner + 1] / sizes[owner] if owner >= 0 else 0.0
        is_mixed = owner >= 0 and counts[owner + 1] < PURE * len(part.members)
        if is_mixed or FRAGMENT < own < OWN_SHARE:
            continue
        owner = owner if own >= OWN_SHARE else -1
        hidden = half_hidden(part, voxels, cleared.fine, cleared.fine_height, of_fine, rng)
        for one in (part, hidden):
            is_bodiless = one is hidden and owner >= 0 and one.head < SEEN_HEAD
            if len(one.members) >= footprints.SMALLEST and not is_bodiless:
                found.append((people.measure(voxels, height, one), owner))
    return found


def half_hidden(
    part: footprints.Group,
    voxels: np.ndarray,
    fine: np.ndarray,
    fine_height: np.ndarray,
    of_fine: np.ndarray,
    rng: np.random.Generator,
) -> footprints.Group:
    """The right or left of a part, as if somebody stood before the rest; of_fine: the voxel of each point of `fine`."""
    x, share = voxels[part.members, 0], rng.uniform(*HIDDEN)
    is_seen = x >= np.quantile(x, share) if rng.random() < 0.5 else x <= np.quantile(x, 1 - share)
    members = part.members[is_seen]
    is_own = np.isin(of_fine, members)
    best = next(iter(heads.find_heads(fine[is_own], fine_height[is_own])), None)
    top = fine_height[is_own][np.linalg.norm(fine[is_own] - best.place, axis=1).argmin()] if best else 0.0
    return replace(part, members=members, head=best.score if best else 0.0, head_m=float(top))


def fit_heads(scenes: list[list[Example]]) -> tuple[Logistic, list[dict[str, float]], np.ndarray]:
    """-> the weights, and the measures and labels `[M]` of the last round.

    Of the tops of a musician one is its head: at first the one with widths nearest to the usual, then the likeliest.
    """
    others = [measures for scene in scenes for measures, owner in scene if owner < 0]
    musicians: dict[tuple[int, int], list[dict[str, float]]] = {}
    for n, scene in enumerate(scenes):
        for measures, owner in scene:
            if owner >= 0:
                musicians.setdefault((n, owner), []).append(measures)

    def usual(measures: dict[str, float]) -> float:
        return -measures["head"] - measures["shoulders unlike"]

    model: Callable[[dict[str, float]], float] = usual
    for _ in range(ROUNDS):
        chosen = [max(tops, key=model) for tops in musicians.values()]
        measures, labels = chosen + others, np.arange(len(chosen) + len(others)) < len(chosen)
        model = Logistic.fit(measures, labels)
    return model, measures, labels


def fit_people(scenes: list[list[Example]]) -> tuple[Logistic, list[dict[str, float]], np.ndarray]:
    """-> the weights, and the measures and labels `[M]` that they are fitted to."""
    measures = [measures for scene in scenes for measures, _ in scene]
    labels = np.array([owner >= 0 for scene in scenes for _, owner in scene])
    return Logistic.fit(measures, labels), measures, labels


if __name__ == "__main__":
    run_command(main)
