"""What stands in rooms beside musicians: furniture, instruments too large to hold, walls and floors, as surfaces.

Each stands on y = 0 about the origin, its front towards +z; lengths in metres.
"""

from __future__ import annotations

import numpy as np

from demo_data.shapes import Frame, Surface, box, capsule, ellipsoid, merge, rotate, tube

WALL_PER_M2 = 5000.0  # samples of walls and floors


def placed(surface: Surface, x: float, z: float, yaw: float = 0.0, y: float = 0.0) -> Surface:
    """The surface turned to the left by `yaw` radians about the vertical axis and moved to a place."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    axes = np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])
    points = rotate(surface.points, axes) + np.float32([[x], [y], [z]])
    return Surface(points, rotate(surface.normals, axes), surface.colours, surface.loss)


def block(x: float, y: float, z: float, size: tuple[float, float, float], colour: np.ndarray) -> Surface:
    """A box of width, height and depth `size` whose bottom's centre is at x, y, z."""
    centre = np.array([x, y + size[1] / 2, z])
    return box(Frame(centre, np.eye(3)), np.array(size) / 2, colour)


def wall(
    corner: np.ndarray, along: np.ndarray, across: np.ndarray, colour: np.ndarray, rng: np.random.Generator
) -> Surface:
    """A rectangle from `corner` [3] along two edges [3]; its front is where their cross product points."""
    normal = np.cross(along, across).astype(float)
    area = np.linalg.norm(normal)
    u, v = rng.random((2, 1, int(area * WALL_PER_M2)))
    points = np.asarray(corner, float)[:, None] + u * np.asarray(along)[:, None] + v * np.asarray(across)[:, None]
    normals = np.broadcast_to((normal / area)[:, None], points.shape)
    return _flat(points, normals, colour)


def curtain(width: float, height: float, colour: np.ndarray, rng: np.random.Generator) -> Surface:
    """A curtain in folds, centred on x = 0."""
    u, v = rng.random((2, int(1.3 * width * height * WALL_PER_M2)))
    fold, depth = rng.uniform(0.15, 0.3), rng.uniform(0.04, 0.08)
    x, phase = (u - 0.5) * width, 2 * np.pi * u * width / fold
    normals = np.stack([-np.cos(phase) * depth * 2 * np.pi / fold, 0 * u, np.ones_like(u)])
    points = np.stack([x, v * height, depth * np.sin(phase)])
    return _flat(points, normals / np.linalg.norm(normals, axis=0), colour)


def ground(half: float, roughness: float, colour: np.ndarray, rng: np.random.Generator) -> Surface:
    """An uneven meadow of 2 `half` x 2 `half`."""
    count = int(4 * half**2 * WALL_PER_M2)
    x, z = rng.uniform(-half, half, (2, count))
    waves = rng.uniform(0.5, 1.6, (4, 2)), rng.uniform(0, 2 * np.pi, 4)
    height = sum(np.sin(a * x + b * z + phase) for (a, b), phase in zip(*waves, strict=True)) / 4
    y = roughness * (height - height.max() / 2) + rng.exponential(0.015, count)  # grass
    return _flat(np.stack([x, y, z]), np.repeat([[0.0], [1.0], [0.0]], count, axis=1), colour)


def bookcase(rng: np.random.Generator) -> Surface:
    width, height, depth = rng.uniform(0.6, 1.0), rng.uniform(1.6, 2.0), rng.uniform(0.25, 0.35)
    wood = rng.uniform(0.3, 0.6) * np.array([1.0, 0.75, 0.5])
    parts = [block(0, 0, -depth / 2 + 0.01, (width, height, 0.02), wood)]
    parts += [block(side * width / 2, 0, 0, (0.02, height, depth), wood) for side in (-1, 1)]
    for level in np.linspace(0, height - 0.02, 6):
        parts.append(block(0, level, 0, (width, 0.02, depth), wood))
        place = -width / 2 + 0.03
        while level < height - 0.3 and place < width / 2 - 0.05:
            book = rng.uniform(0.02, 0.05)
            parts.append(block(place, level + 0.02, 0.02, (book, rng.uniform(0.18, 0.28), 0.18), rng.random(3)))
            place += book + rng.choice([0.0, 0.0, 0.1])
    return merge(parts)


def loudspeaker(rng: np.random.Generator) -> Surface:
    """A tall box, or a box on a stand."""
    black = np.full(3, rng.uniform(0.05, 0.15))
    if rng.random() < 0.5:
        return block(0, 0, 0, (rng.uniform(0.25, 0.4), rng.uniform(1.0, 1.6), rng.uniform(0.3, 0.4)), black)
    box_at, size = rng.uniform(1.1, 1.3), (rng.uniform(0.3, 0.4), rng.uniform(0.5, 0.7), 0.35)
    legs = [
        tube(np.array([[0, 0.7, 0], [0.45 * np.sin(a), 0.0, 0.45 * np.cos(a)]]), np.full(2, 0.015), black)
        for a in (0.5, 2.6, 4.7)
    ]
    post = tube(np.array([[0, 0.2, 0], [0, box_at, 0]]), np.full(2, 0.02), black)
    return merge([block(0, box_at, 0, size, black), post, *legs])


def plant(rng: np.random.Generator) -> Surface:
    """A pot with a plant as tall as a person."""
    height, pot = rng.uniform(1.3, 1.9), rng.uniform(0.15, 0.2)
    stem = np.array([[0, pot, 0], [0.05, height, 0.03]])
    parts = [
        tube(np.array([[0, 0, 0], [0, 0.35, 0]]), np.array([pot * 0.8, pot]), np.array([0.6, 0.35, 0.2])),
        tube(stem, np.full(2, 0.02), np.array([0.3, 0.2, 0.1])),
    ]
    for _ in range(int(rng.integers(30, 60))):
        at, angle = rng.uniform(0.5, height), rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(0.1, 0.4)
        leaf = np.array([reach * np.cos(angle), at + rng.uniform(-0.1, 0.1), reach * np.sin(angle)])
        axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        green = np.array([0.15, rng.uniform(0.3, 0.6), 0.1])
        parts.append(ellipsoid(leaf, np.array([0.12, 0.05, 0.01]), green, axes, loss=0.1))
    return merge(parts)


def bush(rng: np.random.Generator) -> Surface:
    """Leaves all about, from the ground to above a head."""
    height, width = rng.uniform(1.2, 2.0), rng.uniform(0.5, 0.9)
    parts = []
    for _ in range(int(rng.integers(120, 200))):
        direction = rng.normal(size=3)
        at = direction / np.linalg.norm(direction) * rng.uniform(0.6, 1.0)
        centre = at * (width / 2, height / 2, width / 2) + (0, height / 2, 0)
        axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        green = np.array([0.12, rng.uniform(0.25, 0.5), 0.08])
        parts.append(ellipsoid(centre, np.array([0.10, 0.07, 0.015]), green, axes, loss=0.2))
    return merge(parts)


def tree(rng: np.random.Generator) -> Surface:
    """A trunk, and leaves from above a head on."""
    height, radius = rng.uniform(2.6, 3.2), rng.uniform(0.1, 0.18)
    trunk = np.array([[0, 0, 0], [rng.uniform(-0.1, 0.1), height, rng.uniform(-0.1, 0.1)]])
    parts = [tube(trunk, np.array([radius, 0.7 * radius]), np.array([0.3, 0.22, 0.15]))]
    for _ in range(int(rng.integers(150, 250))):
        centre = np.array([0, height, 0]) + rng.normal(size=3) * (0.5, 0.25, 0.5)
        axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        green = np.array([0.12, rng.uniform(0.25, 0.5), 0.08])
        parts.append(ellipsoid(centre, np.array([0.10, 0.07, 0.015]), green, axes, loss=0.2))
    return merge(parts)


def panel(rng: np.random.Generator) -> Surface:
    """A free-standing screen, as they are put behind singers."""
    size = (rng.uniform(0.6, 1.2), rng.uniform(1.4, 2.0), 0.06)
    feet = [block(side * size[0] * 0.4, 0, 0, (0.06, 0.04, 0.5), np.full(3, 0.2)) for side in (-1, 1)]
    return merge([block(0, 0.05, 0, size, rng.uniform(0.2, 0.7, 3)), *feet])


def chair(rng: np.random.Generator) -> Surface:
    seat, colour = rng.uniform(0.42, 0.48), rng.uniform(0.1, 0.5, 3)
    legs = [
        tube(np.array([[x, seat, z], [x, 0, z]]), np.full(2, 0.015), colour) for x in (-0.2, 0.2) for z in (-0.2, 0.2)
    ]
    back = block(0, seat + 0.15, -0.21, (0.42, 0.3, 0.02), colour)
    return merge([block(0, seat - 0.03, 0, (0.44, 0.03, 0.44), colour), back, *legs])


def music_stand(rng: np.random.Generator) -> Surface:
    """Its desk is towards -z, where the musician is."""
    height, grey = rng.uniform(0.95, 1.15), np.full(3, 0.12)
    cos, sin = np.cos(0.35), np.sin(0.35)
    desk = Frame(np.array([0.0, height, 0.0]), np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]]))
    feet = [
        tube(np.array([[0, 0.25, 0], [0.25 * np.sin(a), 0.0, 0.25 * np.cos(a)]]), np.full(2, 0.008), grey, loss=0.2)
        for a in (0.3, 2.4, 4.5)
    ]
    post = tube(np.array([[0, 0.1, 0], [0, height, 0]]), np.full(2, 0.010), grey, loss=0.2)
    return merge([box(desk, np.array([0.24, 0.16, 0.006]), grey), post, *feet])


def table(rng: np.random.Generator) -> Surface:
    width, depth, colour = rng.uniform(0.8, 1.6), rng.uniform(0.6, 0.9), rng.uniform(0.3, 0.6, 3)
    legs = [
        block(x * (width / 2 - 0.05), 0, z * (depth / 2 - 0.05), (0.05, 0.7, 0.05), colour)
        for x in (-1, 1)
        for z in (-1, 1)
    ]
    return merge([block(0, 0.7, 0, (width, 0.04, depth), colour), *legs])


def sofa(rng: np.random.Generator) -> Surface:
    width, colour = rng.uniform(1.5, 2.0), rng.uniform(0.2, 0.6, 3)
    arms = [block(side * width / 2, 0, 0, (0.18, 0.6, 0.85), colour) for side in (-1, 1)]
    return merge([block(0, 0, 0.05, (width, 0.42, 0.8), colour), block(0, 0, -0.35, (width, 0.85, 0.2), colour), *arms])


def lamp(rng: np.random.Generator) -> Surface:
    height, grey = rng.uniform(1.5, 1.8), np.full(3, 0.3)
    return merge(
        [
            tube(np.array([[0, 0, 0], [0, 0.03, 0]]), np.array([0.15, 0.14]), grey),
            tube(np.array([[0, 0, 0], [0, height, 0]]), np.full(2, 0.012), grey),
            tube(np.array([[0, height - 0.25, 0], [0, height, 0]]), np.array([0.22, 0.13]), np.array([0.9, 0.85, 0.7])),
        ]
    )


def coat_stand(rng: np.random.Generator) -> Surface:
    """A post with coats: about as wide as a person, without a head and legs."""
    height, colour = rng.uniform(1.6, 1.9), rng.uniform(0.1, 0.5, 3)
    parts = [tube(np.array([[0, 0, 0], [0, height, 0]]), np.full(2, 0.02), np.full(3, 0.25))]
    for angle in rng.uniform(0, 2 * np.pi, 3):
        x, z = 0.15 * np.sin(angle), 0.15 * np.cos(angle)
        parts.append(capsule(np.array([x, height - 0.15, z]), np.array([x, height - 1.0, z]), 0.1, 0.16, colour))
    return merge(parts)


def upright_piano(rng: np.random.Generator) -> Surface:
    """Its keys are towards +z, where the pianist sits."""
    colour = rng.choice([0.06, 0.35]) * np.array([1.0, 0.75, 0.6])
    height = rng.uniform(1.1, 1.3)
    return merge(
        [
            block(0, 0, -0.45, (1.5, height, 0.35), colour),
            block(0, 0.62, -0.14, (1.45, 0.12, 0.28), colour),
            block(0, 0.742, -0.1, (1.23, 0.02, 0.15), np.full(3, 0.9)),
            *(block(side * 0.7, 0, -0.05, (0.08, 0.62, 0.08), colour) for side in (-1, 1)),
        ]
    )


def grand_piano(rng: np.random.Generator) -> Surface:
    """Its keys are towards +z, where the pianist sits; the lid is up."""
    colour, length = np.full(3, 0.06), rng.uniform(1.5, 2.1)
    lid = Frame(np.array([0.1, 1.35, -0.2 - length / 2]), np.array([[0.8, 0.6, 0], [-0.6, 0.8, 0], [0, 0, 1.0]]))
    return merge(
        [
            block(0, 0.68, -0.2 - length * 0.25, (1.5, 0.3, length * 0.5), colour),
            block(-0.25, 0.68, -0.2 - length * 0.75, (1.0, 0.3, length * 0.5), colour),
            block(0, 0.62, 0.0, (1.45, 0.1, 0.3), colour),
            block(0, 0.722, 0.02, (1.23, 0.02, 0.15), np.full(3, 0.9)),
            box(lid, np.array([0.75, 0.01, length * 0.45]), colour),
            *(block(x, 0, z, (0.1, 0.68, 0.1), colour) for x, z in ((-0.6, -0.2), (0.6, -0.2), (-0.4, -length))),
        ]
    )


def podium(size: tuple[float, float, float]) -> Surface:
    return block(0, 0, 0, size, np.array([0.4, 0.3, 0.2]))


def _flat(points: np.ndarray, normals: np.ndarray, colour: np.ndarray) -> Surface:
    colours = np.broadcast_to(np.asarray(colour, np.float32).reshape(3, 1), points.shape)
    return Surface(
        points.astype(np.float32), normals.astype(np.float32), colours, np.zeros(points.shape[1], np.float32)
    )
