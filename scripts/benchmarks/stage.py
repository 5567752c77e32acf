"""Where the simulated scenes are put together: musicians and what stands about them, as depth cameras see them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from demo_data import bodies, furniture
from demo_data.camera import Camera, photograph_samples
from demo_data.figure import Stance, arm_surfaces, body_surfaces, draw_look, draw_physique, joints
from demo_data.furniture import block, placed
from demo_data.plan import INSTRUMENTS
from demo_data.shapes import Frame, Surface, merge, rotate, unit

# Owners of points that are no musician's: furniture, floor and walls, music stands of whoever.
OTHER, STRUCTURE, EITHER = -1, -2, -3


@dataclass(frozen=True)
class Room:
    """A capture and its truth.

    xyz: `[P, 3]` float32 metres, Y up. rgb: `[P, 3]` in 0..1. truth: `[P]`, musicians 0 .. count - 1 or one of `OTHER`,
    `STRUCTURE`, `EITHER`. is_person: `[P]`, which are of a person and what it holds; a piano is its pianist's, but no
    person.
    """

    xyz: np.ndarray
    rgb: np.ndarray
    truth: np.ndarray
    is_person: np.ndarray
    count: int


@dataclass(frozen=True)
class Part:
    """Something in a scene. label: of `Room.truth`."""

    surface: Surface
    label: int
    is_person: bool = False


class Stage:
    """Where a scene is put together."""

    def __init__(self, rng: np.random.Generator):
        self.rng, self.count = rng, 0
        self.parts: list[Part] = []
        self.views = [0.0]  # radians about the vertical axis, of each camera
        self.pixel_rad, self.noise, self.distance_m, self.strays = 0.0042, 1.0, 4.2, 100

    def musician(self, instrument: str, x: float, z: float = 0.0, yaw: float = 0.0, y: float = 0.0) -> int:
        """Puts a musician there, turned about `yaw`, with the chair if it sits; -> its number."""
        performer = replace(bodies.draw_performer(instrument, self.rng), music_stand=None)
        surface = bodies.scene(performer, self.rng.uniform(0, 10))
        return self.person(surface, x, z, yaw + self.rng.uniform(-0.35, 0.35), y)

    def person(self, surface: Surface, x: float, z: float, yaw: float, y: float = 0.0) -> int:
        self.parts.append(Part(placed(surface, x, z, yaw, y), self.count, is_person=True))
        self.count += 1
        return self.count - 1

    def thing(self, surface: Surface, x: float, z: float, yaw: float = 0.0, label: int = OTHER, y: float = 0.0) -> None:
        self.parts.append(Part(placed(surface, x, z, yaw, y), label))

    def floor(self, half: float = 3.0) -> None:
        colour = np.full(3, self.rng.uniform(0.25, 0.6))
        surface = furniture.wall((-half, 0, half), (2 * half, 0, 0), (0, 0, -2 * half), colour, self.rng)
        self.parts.append(Part(surface, STRUCTURE))

    def meadow(self) -> None:
        colour = np.array([0.3, 0.45, 0.2])
        self.parts.append(Part(furniture.ground(3.5, 0.12, colour, self.rng), STRUCTURE))

    def wall(self, back: float, half: float = 3.0, height: float = 2.7) -> None:
        colour = self.rng.uniform(0.4, 0.9, 3)
        surface = furniture.wall((-half, 0, -back), (2 * half, 0, 0), (0, height, 0), colour, self.rng)
        self.parts.append(Part(surface, STRUCTURE))

    def side_wall(self, x: float, half: float = 3.0, height: float = 2.7) -> None:
        """A wall left or right of the group, along z."""
        along = (0, 0, -2 * half) if x < 0 else (0, 0, 2 * half)
        corner = (x, 0, half if x < 0 else -half)
        inwards = furniture.wall(corner, along, (0, height, 0), self.rng.uniform(0.4, 0.9, 3), self.rng)
        if inwards.normals[0, 0] * x > 0:
            inwards = Surface(inwards.points, -inwards.normals, inwards.colours, inwards.loss)
        self.parts.append(Part(inwards, STRUCTURE))

    def ceiling(self, height: float = 2.7, half: float = 3.0) -> None:
        colour = np.full(3, 0.9)
        surface = furniture.wall((-half, height, -half), (2 * half, 0, 0), (0, 0, 2 * half), colour, self.rng)
        normals = 0 * surface.normals + [[0], [-1], [0]]
        self.parts.append(Part(Surface(surface.points, normals, surface.colours, surface.loss), STRUCTURE))

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

    def turn(self, axes: np.ndarray) -> None:
        """Turns all that is there so far: to the camera's frame by the rows of `axes` `[3, 3]`, as `shapes.rotate`."""
        for k, part in enumerate(self.parts):
            old = part.surface
            turned = Surface(rotate(old.points, axes), rotate(old.normals, axes), old.colours, old.loss)
            self.parts[k] = replace(part, surface=turned)

    def finish(self) -> Room:
        """The scene as the cameras see it."""
        surface = merge([part.surface for part in self.parts])
        sizes = [part.surface.points.shape[1] for part in self.parts]
        numbers = np.repeat(np.arange(len(self.parts)), sizes)  # the part of each sample
        light = unit(np.array([self.rng.uniform(-0.8, 0.8), 0.8, 1.0]))
        xyz, rgb, seen = [], [], []
        for view in self.views:
            cos, sin = np.cos(view), np.sin(view)
            place = Frame(np.zeros(3), np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]]))
            camera = Camera(1.4, self.distance_m, light, np.ones(3), self.pixel_rad, self.noise)
            kept = _is_before(surface, place, camera)
            points, colours, samples = photograph_samples(_of(surface, kept), place, camera, self.rng)
            xyz.append(points @ place.axes.T)
            rgb.append(colours)
            seen.append(numbers[kept][samples])
        points, colours, seen = map(np.concatenate, (xyz, rgb, seen))
        strays = self.rng.uniform(points.min(axis=0), points.max(axis=0), (self.strays, 3))
        points = np.concatenate([points, strays]).astype(np.float32)
        colours = np.concatenate([colours / 255, self.rng.random((self.strays, 3))]).astype(np.float32)
        labels = np.append([part.label for part in self.parts], STRUCTURE)
        are_persons = np.append([part.is_person for part in self.parts], False)
        seen = np.append(seen, np.full(self.strays, len(self.parts)))
        order = self.rng.permutation(len(points))
        return Room(points[order], colours[order], labels[seen[order]], are_persons[seen[order]], self.count)


def _of(surface: Surface, kept: np.ndarray) -> Surface:
    return Surface(surface.points[:, kept], surface.normals[:, kept], surface.colours[:, kept], surface.loss[kept])


def _is_before(surface: Surface, place: Frame, camera: Camera) -> np.ndarray:
    """Which samples lie before the camera, half a metre away or more, and in its view."""
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
    number = stage.person(person, x, z, yaw)
    stage.thing(placed(piano, 0.0, 0.55, np.pi), x, z, yaw, number)


def conductor(stage: Stage, x: float, z: float, yaw: float, y: float = 0.0) -> None:
    height = stage.rng.uniform(1.15, 1.35)
    stage.person(figure(stage.rng, None, [(-0.35, height, 0.4), (0.3, height, 0.45)]), x, z, yaw, y)
