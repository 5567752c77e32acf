"""Simulated scenes of 33 kinds: musicians of the demo among what stands about them. Six more, for tests alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from demo_data import bodies, furniture

from benchmarks.stage import EITHER, STRUCTURE, Room, Stage, conductor, pianist

SMALL = ("violin", "saxophone", "guitar", "cello")


def pair(stage: Stage) -> None:
    stage.floor()
    stage.row(stage.some(2))


def quartet_arc(stage: Stage) -> None:
    stage.floor()
    stage.arc(stage.some(4), 1.9, 60)


def quintet_arc(stage: Stage) -> None:
    stage.floor(3.5)
    stage.distance_m = 4.8
    stage.arc(stage.some(5), 2.4, 65)


def string_quartet(stage: Stage) -> None:
    stage.floor()
    stage.arc(["violin", "violin", "violin", "cello"], 1.4, 60)


def two_rows(stage: Stage) -> None:
    stage.floor(3.5)
    stage.distance_m = 5.0
    for x in (-1.6, 0.1, 1.7):
        stage.musician(str(stage.rng.choice(SMALL)), x + stage.rng.uniform(-0.1, 0.1), 0.4)
    for x in (-0.8, 0.9):
        stage.musician("doublebass", x, -1.2)


def facing_duo(stage: Stage) -> None:
    stage.floor()
    stage.musician(stage.some(1)[0], -0.85, 0, 1.2)
    stage.musician(stage.some(1)[0], 0.85, 0, -1.2)


def close_together(stage: Stage) -> None:
    stage.floor()
    stage.row(stage.some(3, ("violin", "saxophone", "cello")), (0.9, 1.0), 0.15)


def face_on(stage: Stage, instruments: list[str], spacing: tuple[float, float]) -> None:
    """All fronts in one plane."""
    xs = np.cumsum(stage.rng.uniform(*spacing, len(instruments)))
    for instrument, x in zip(instruments, xs - xs.mean(), strict=True):
        performer = replace(bodies.draw_performer(instrument, stage.rng), music_stand=None)
        style = replace(performer.style, turn=0.3)
        surface = bodies.scene(replace(performer, style=style), stage.rng.uniform(0, 10))
        front = np.percentile(surface.points[2], 90)
        stage.person(surface, x, 0.5 - front, 0.0)


def basses_face_on(stage: Stage) -> None:
    stage.floor()
    face_on(stage, ["doublebass"] * 3, (1.1, 1.3))


def guitars_face_on(stage: Stage) -> None:
    stage.floor()
    face_on(stage, ["guitar"] * 3, (1.3, 1.6))


def row_at_a_wall(stage: Stage) -> None:
    stage.floor()
    stage.wall(0.55)
    face_on(stage, stage.some(3), (1.2, 1.6))


def near_wall(stage: Stage) -> None:
    stage.floor()
    stage.wall(0.8)
    stage.row(stage.some(3))


def corner(stage: Stage) -> None:
    stage.floor()
    stage.wall(1.2)
    xs = stage.row(stage.some(3))
    stage.side_wall(xs.min() - 1.0)


def whole_room(stage: Stage) -> None:
    stage.floor()
    stage.wall(1.8)
    stage.side_wall(-2.9)
    stage.side_wall(2.9)
    stage.ceiling()
    stage.row(stage.some(3))


def behind_a_curtain(stage: Stage) -> None:
    stage.floor()
    stage.thing(furniture.curtain(6.0, 2.8, stage.rng.uniform(0.1, 0.6, 3), stage.rng), 0, -1.0, label=STRUCTURE)
    stage.row(stage.some(3))


def among(stage: Stage, things: list[Callable], count: int = 2) -> None:
    """A group with things as tall as persons beside and behind it, a metre or so away, in a room."""
    stage.floor(3.5)
    stage.wall(2.3, 3.5)
    xs = stage.row(stage.some(count), (1.2, 1.6))
    places = [(xs.min() - stage.rng.uniform(1.0, 1.3), stage.rng.uniform(-0.6, 0.2))]
    places += [(xs.max() + stage.rng.uniform(1.0, 1.3), stage.rng.uniform(-0.6, 0.2)), (stage.rng.uniform(-1, 1), -1.7)]
    for make, (x, z) in zip(things, places, strict=False):
        stage.thing(make(stage.rng), x, z, stage.rng.uniform(-0.4, 0.4))


def bookcases(stage: Stage) -> None:
    among(stage, [furniture.bookcase, furniture.bookcase])


def loudspeakers(stage: Stage) -> None:
    among(stage, [furniture.loudspeaker, furniture.loudspeaker, furniture.loudspeaker])


def plants(stage: Stage) -> None:
    among(stage, [furniture.plant, furniture.plant])


def panels(stage: Stage) -> None:
    among(stage, [furniture.panel, furniture.panel, furniture.panel], 3)


def coats_and_lamps(stage: Stage) -> None:
    among(stage, [furniture.coat_stand, furniture.lamp])


def living_room(stage: Stage) -> None:
    among(stage, [furniture.lamp, furniture.plant, furniture.sofa])
    stage.thing(furniture.table(stage.rng), stage.rng.uniform(-1, 1), 1.4)


def outdoors(stage: Stage) -> None:
    stage.meadow()
    xs = stage.row(stage.some(3))
    stage.thing(furniture.bush(stage.rng), xs.max() + 1.3, -0.5)
    stage.thing(furniture.bush(stage.rng), xs.min() - 1.4, -0.3)


def upright_piano(stage: Stage) -> None:
    stage.floor()
    stage.wall(2.2)
    pianist(stage, furniture.upright_piano(stage.rng), -0.9, 0.1, np.pi + 0.3)
    stage.musician("violin", 0.75, 0.1)


def grand_piano(stage: Stage) -> None:
    stage.floor(3.5)
    stage.distance_m = 4.8
    pianist(stage, furniture.grand_piano(stage.rng), -1.5, 0.0, np.pi / 2)
    stage.musician("violin", 1.2, 0.9)


def piano_trio(stage: Stage) -> None:
    stage.floor(3.5)
    stage.distance_m = 4.8
    pianist(stage, furniture.upright_piano(stage.rng), 0.0, -1.2, np.pi + 0.2)
    stage.musician("violin", -1.3, 0.4, 0.4)
    stage.musician("cello", 1.2, 0.3, -0.4)


def chairs(stage: Stage) -> None:
    stage.floor()
    xs = stage.row(stage.some(3, SMALL), (1.3, 1.7))
    for x in (xs[0] + xs[1]) / 2, (xs[1] + xs[2]) / 2 + 0.1:
        stage.thing(furniture.chair(stage.rng), x, -0.9, stage.rng.uniform(-0.5, 0.5))


def music_stands(stage: Stage) -> None:
    stage.floor()
    for x in stage.row(stage.some(3), (1.3, 1.6), 0.2):
        side = stage.rng.choice([-0.4, 0.4])
        stage.thing(furniture.music_stand(stage.rng), x + side, 0.75, -side, EITHER)


def with_a_conductor(stage: Stage) -> None:
    stage.floor(3.5)
    stage.distance_m = 4.8
    stage.arc(stage.some(4, SMALL), 2.1, 55)
    stage.thing(furniture.podium((0.9, 0.2, 0.9)), 0.15, 1.0, label=EITHER)
    conductor(stage, 0.15, 1.0, np.pi, 0.2)


def conductor_beside(stage: Stage) -> None:
    stage.floor()
    stage.wall(1.6)
    xs = stage.row(stage.some(2, SMALL), (1.2, 1.5))
    conductor(stage, xs.max() + 1.3, 0.4, -1.0)


def tilted_floor(stage: Stage) -> None:
    stage.floor()
    stage.row(stage.some(3))
    angle = np.radians(stage.rng.uniform(3, 8))
    cos, sin = np.cos(angle), np.sin(angle)
    stage.turn(np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1.0]]))


def risers(stage: Stage) -> None:
    stage.floor(3.5)
    stage.distance_m = 4.8
    stage.thing(furniture.podium((5.0, 0.35, 1.3)), 0, -1.2, label=STRUCTURE)
    for x in (-1.2, 0.2, 1.5):
        stage.musician(str(stage.rng.choice(SMALL)), x, -1.2, y=0.35)
    for x in (-0.6, 0.9):
        stage.musician(str(stage.rng.choice(SMALL)), x, 0.6)


def kinect_noise(stage: Stage) -> None:
    stage.floor()
    stage.wall(1.6)
    stage.noise, stage.strays = 2.5, 400
    stage.row(stage.some(3))


def two_cameras(stage: Stage) -> None:
    stage.floor()
    stage.wall(1.8)
    stage.views = [-0.5, 0.5]
    stage.row(stage.some(3))


def cluttered(stage: Stage) -> None:
    """A quarter of a million points of a room full of things."""
    stage.views, stage.pixel_rad = [-0.35, 0.0, 0.35], 0.0043
    among(stage, [furniture.bookcase, furniture.loudspeaker, furniture.panel], 3)
    stage.side_wall(-3.4)
    stage.thing(furniture.table(stage.rng), 1.0, 1.5)
    stage.thing(furniture.chair(stage.rng), -0.8, 1.3, 0.5)
    stage.thing(furniture.chair(stage.rng), 1.9, -1.3, -0.5)


def trio(stage: Stage) -> None:
    stage.floor()
    stage.row(stage.some(3))


def far_wall(stage: Stage) -> None:
    stage.floor(4.5)
    stage.wall(4.2, 4.5)
    stage.row(stage.some(3))


def mixed_furniture(stage: Stage) -> None:
    """Two things of any sort beside the group, and one behind it."""
    makers = [furniture.bookcase, furniture.loudspeaker, furniture.plant, furniture.panel, furniture.coat_stand]
    makers += [furniture.lamp, furniture.sofa, furniture.chair, furniture.upright_piano]
    among(stage, [makers[k] for k in stage.rng.choice(len(makers), 3, replace=False)])


def under_trees(stage: Stage) -> None:
    stage.meadow()
    xs = stage.row(stage.some(2))
    stage.thing(furniture.tree(stage.rng), xs.max() + stage.rng.uniform(1.1, 1.6), -0.6)
    stage.thing(furniture.tree(stage.rng), xs.mean() + stage.rng.uniform(-0.3, 0.3), -1.8)


def coarse(stage: Stage) -> None:
    """A camera of few pixels."""
    stage.floor()
    stage.wall(1.8)
    stage.pixel_rad = 0.0075
    stage.row(stage.some(3))


def no_floor(stage: Stage) -> None:
    stage.row(stage.some(3))


KINDS: dict[str, Callable[[Stage], None]] = {
    function.__name__.replace("_", " "): function
    for function in (
        *(pair, facing_duo, close_together, quartet_arc, quintet_arc, string_quartet, two_rows),
        *(basses_face_on, guitars_face_on, row_at_a_wall, near_wall, corner, whole_room, behind_a_curtain),
        *(bookcases, loudspeakers, plants, panels, coats_and_lamps, living_room, outdoors),
        *(upright_piano, grand_piano, piano_trio, chairs, music_stands, with_a_conductor, conductor_beside),
        *(tilted_floor, risers, kinect_noise, two_cameras, cluttered),
    )
}
OTHER_KINDS = {  # nothing is fitted to them
    function.__name__.replace("_", " "): function
    for function in (trio, far_wall, mixed_furniture, under_trees, coarse, no_floor)
}


def draw_room(kind: str, seed: int) -> Room:
    """The scene of a kind and a seed, always the same."""
    kinds = KINDS | OTHER_KINDS
    stage = Stage(np.random.default_rng([seed, list(kinds).index(kind)]))
    kinds[kind](stage)
    return stage.finish()
