"""Simulated scenes of 33 kinds: musicians of the demo among what stands about them, as depth cameras see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from demo_data import bodies, furniture
from demo_data.camera import Camera, photograph_samples
from demo_data.figure import Stance, arm_surfaces, body_surfaces, draw_look, draw_physique, joints
from demo_data.furniture import block, placed
from demo_data.plan import INSTRUMENTS
from demo_data.shapes import Frame, Surface, merge, rotate, unit

OTHER, STRUCTURE, EITHER = -1, -2, -3  # what is no musician: furniture, floor and walls, music stands of whoever
SMALL = ("violin", "saxophone", "guitar", "cello")


@dataclass(frozen=True)
class Room:
    """A capture and its truth.

    xyz: `[P, 3]` float32 metres, Y up. rgb: `[P, 3]` in 0..1. truth: `[P]`, musicians 0 .. count - 1 or one of `OTHER`,
    `STRUCTURE`, `EITHER`.
    """

    xyz: np.ndarray
    rgb: np.ndarray
    truth: np.ndarray
    count: int


class Stage:
    """Where a scene is put together."""

    def __init__(self, rng: np.random.Generator):
        self.rng, self.count = rng, 0
        self.parts: list[tuple[Surface, int]] = []
        self.views = [0.0]  # radians about the vertical axis, of each camera
        self.pixel_rad, self.noise, self.distance_m, self.strays = 0.0042, 1.0, 4.2, 100

    def musician(self, instrument: str, x: float, z: float = 0.0, yaw: float = 0.0, y: float = 0.0) -> int:
        """Puts a musician there, turned about `yaw`, with the chair if it sits; -> its number."""
        performer = replace(bodies.draw_performer(instrument, self.rng), music_stand=None)
        surface = bodies.scene(performer, self.rng.uniform(0, 10))
        return self.person(surface, x, z, yaw + self.rng.uniform(-0.35, 0.35), y)

    def person(self, surface: Surface, x: float, z: float, yaw: float, y: float = 0.0) -> int:
        self.parts.append((placed(surface, x, z, yaw, y), self.count))
        self.count += 1
        return self.count - 1

    def thing(self, surface: Surface, x: float, z: float, yaw: float = 0.0, label: int = OTHER, y: float = 0.0) -> None:
        self.parts.append((placed(surface, x, z, yaw, y), label))

    def floor(self, half: float = 3.0) -> None:
        colour = np.full(3, self.rng.uniform(0.25, 0.6))
        surface = furniture.wall((-half, 0, half), (2 * half, 0, 0), (0, 0, -2 * half), colour, self.rng)
        self.parts.append((surface, STRUCTURE))

    def wall(self, back: float, half: float = 3.0, height: float = 2.7) -> None:
        colour = self.rng.uniform(0.4, 0.9, 3)
        surface = furniture.wall((-half, 0, -back), (2 * half, 0, 0), (0, height, 0), colour, self.rng)
        self.parts.append((surface, STRUCTURE))

    def side_wall(self, x: float, half: float = 3.0, height: float = 2.7) -> None:
        """A wall left or right of the group, along z."""
        along = (0, 0, -2 * half) if x < 0 else (0, 0, 2 * half)
        corner = (x, 0, half if x < 0 else -half)
        inwards = furniture.wall(corner, along, (0, height, 0), self.rng.uniform(0.4, 0.9, 3), self.rng)
        if inwards.normals[0, 0] * x > 0:
            inwards = Surface(inwards.points, -inwards.normals, inwards.colours, inwards.loss)
        self.parts.append((inwards, STRUCTURE))

    def ceiling(self, height: float = 2.7, half: float = 3.0) -> None:
        colour = np.full(3, 0.9)
        surface = furniture.wall((-half, height, -half), (2 * half, 0, 0), (0, 0, 2 * half), colour, self.rng)
        self.parts.append(
            (Surface(surface.points, 0 * surface.normals + [[0], [-1], [0]], surface.colours, surface.loss), STRUCTURE)
        )

    def row(self, instruments: list[str], spacing: tuple[float, float] = (1.1, 1.7), depth: float = 0.3) -> np.ndarray:
        """Musicians side by side -> their x."""
        xs = np.cumsum(self.rng.uniform(*spacing, len(instruments)))
        xs -= xs.mean()
        for instrument, x in zip(instruments, xs, strict=True):
            self.musician(instrument, x, self.rng.uniform(-depth, depth))
        return xs

    def arc(self, instruments: list[str], radius: float, degrees: float) -> None:
        """Musicians in an arc that is open to the camera, each facing its middle."""
        for instrument, angle in zip(
            instruments, np.radians(np.linspace(-degrees, degrees, len(instruments))), strict=True
        ):
            self.musician(instrument, radius * np.sin(angle), radius * (0.5 - np.cos(angle)), -0.7 * angle)

    def some(self, count: int, names: tuple[str, ...] = INSTRUMENTS) -> list[str]:
        return [str(name) for name in self.rng.choice(names, count)]

    def finish(self) -> Room:
        """The scene as the cameras see it."""
        surface = merge([part for part, _ in self.parts])
        labels = np.concatenate([np.full(part.points.shape[1], label) for part, label in self.parts])
        light = unit(np.array([self.rng.uniform(-0.8, 0.8), 0.8, 1.0]))
        xyz, rgb, truth = [], [], []
        for view in self.views:
            cos, sin = np.cos(view), np.sin(view)
            place = Frame(np.zeros(3), np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]]))
            camera = Camera(1.4, self.distance_m, light, np.ones(3), self.pixel_rad, self.noise)
            points, colours, samples = photograph_samples(before(surface, place, camera), place, camera, self.rng)
            xyz.append(points @ place.axes.T)
            rgb.append(colours)
            truth.append(labels_before(surface, labels, place, camera)[samples])
        points, colours, owners = map(np.concatenate, (xyz, rgb, truth))
        strays = self.rng.uniform(points.min(axis=0), points.max(axis=0), (self.strays, 3))
        points = np.concatenate([points, strays]).astype(np.float32)
        colours = np.concatenate([colours / 255, self.rng.random((self.strays, 3))]).astype(np.float32)
        owners = np.append(owners, np.full(self.strays, STRUCTURE))
        order = self.rng.permutation(len(points))
        return Room(points[order], colours[order], owners[order], self.count)


def before(surface: Surface, place: Frame, camera: Camera) -> Surface:
    """The part of a surface that lies before the camera, half a metre away or more."""
    kept = _is_before(surface, place, camera)
    return Surface(surface.points[:, kept], surface.normals[:, kept], surface.colours[:, kept], surface.loss[kept])


def labels_before(surface: Surface, labels: np.ndarray, place: Frame, camera: Camera) -> np.ndarray:
    return labels[_is_before(surface, place, camera)]


def _is_before(surface: Surface, place: Frame, camera: Camera) -> np.ndarray:
    depth = camera.distance_m - rotate(surface.points, place.axes)[2]
    x = abs(rotate(surface.points, place.axes)[0])
    return (depth > 0.5) & (x < 1.3 * depth)


def figure(rng: np.random.Generator, seat_m: float | None, hands: list[tuple[float, float, float]]) -> Surface:
    """A person without an instrument, its palms at `hands`, on a bench if it sits."""
    physique, look = draw_physique(rng), draw_look(rng)
    stance = Stance(seat_m, rng.uniform(0.0, 0.15), 0.0, 0.25 if seat_m else 0.13 * physique.height_m, 0.15, 0.0)
    pose = joints(physique, stance)
    surfaces = body_surfaces(physique, look, pose)
    for side, hand in enumerate(hands):
        pole = np.array([-1.0 if side == 0 else 1.0, -0.8, -0.2])
        surfaces += arm_surfaces(physique, look, pose, side, np.array(hand), pole)
    if seat_m:
        surfaces.append(block(0, 0, 0, (0.6, seat_m, 0.35), np.full(3, 0.1)))
    return merge(surfaces)


def pianist(stage: Stage, piano: Surface, x: float, z: float, yaw: float) -> None:
    """A pianist at the keys; `yaw` 0 looks at the camera over the piano."""
    person = figure(stage.rng, 0.49, [(-0.25, 0.76, 0.45), (0.25, 0.76, 0.45)])
    stage.person(merge([person, placed(piano, 0.0, 0.55, np.pi)]), x, z, yaw)


def conductor(stage: Stage, x: float, z: float, yaw: float, y: float = 0.0) -> None:
    height = stage.rng.uniform(1.15, 1.35)
    stage.person(figure(stage.rng, None, [(-0.35, height, 0.4), (0.3, height, 0.45)]), x, z, yaw, y)


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
    stage.parts.append((furniture.ground(3.5, 0.12, np.array([0.3, 0.45, 0.2]), stage.rng), STRUCTURE))
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
    axes = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1.0]])
    stage.parts = [
        (Surface(rotate(part.points, axes), rotate(part.normals, axes), part.colours, part.loss), label)
        for part, label in stage.parts
    ]


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


def draw_room(kind: str, seed: int) -> Room:
    """The scene of a kind and a seed, always the same."""
    stage = Stage(np.random.default_rng([seed, list(KINDS).index(kind)]))
    KINDS[kind](stage)
    return stage.finish()


def draw_rooms(kinds: list[str], seeds: range) -> Iterator[tuple[str, int, Room]]:
    for kind in kinds:
        for seed in seeds:
            yield kind, seed, draw_room(kind, seed)
