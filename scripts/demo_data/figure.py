"""The performer's body: who it is, its joints for a pose, and its surfaces.

Body frame in metres: the floor is y = 0, x points to the performer's left and z to the front.
"""

import colorsys
from dataclasses import dataclass

import numpy as np

from demo_data.shapes import Surface, capsule, ellipsoid, tube, unit

HAIR_STYLES = ("short", "short", "long", "bun", "bald")
SKIN_TONES = np.array([[0.93, 0.76, 0.65], [0.82, 0.62, 0.48], [0.62, 0.43, 0.30], [0.40, 0.27, 0.19]])
HAIR_TONES = np.array([[0.08, 0.06, 0.05], [0.28, 0.17, 0.09], [0.62, 0.47, 0.25], [0.55, 0.53, 0.52]])


@dataclass(frozen=True)
class Physique:
    """A body's measures. height_m in metres; the others are factors around 1 of an average body of that height."""

    height_m: float
    girth: float
    shoulders: float
    legs: float
    arms: float
    head: float


@dataclass(frozen=True)
class Look:
    """Colours [3] in 0..1, and the cut of hair and sleeves."""

    skin: np.ndarray
    hair: np.ndarray
    shirt: np.ndarray
    trousers: np.ndarray
    shoes: np.ndarray
    hair_style: str
    long_sleeves: bool


@dataclass(frozen=True)
class Stance:
    """How the body holds itself: angles in radians, lengths in metres.

    seat_m is the seat's height, None when standing; lean is forward, sway to the left; knees_m is the distance
    between the knees, nod and turn are the head's angles forward and to the left.
    """

    seat_m: float | None
    lean: float
    sway: float
    knees_m: float
    nod: float
    turn: float


@dataclass(frozen=True)
class Joints:
    """Joint positions [3] in metres; pairs are (right, left), that is x < 0 first. up [3] is the spine's direction."""

    pelvis: np.ndarray
    up: np.ndarray
    neck: np.ndarray
    head: np.ndarray
    head_axes: np.ndarray
    hips: tuple[np.ndarray, np.ndarray]
    knees: tuple[np.ndarray, np.ndarray]
    ankles: tuple[np.ndarray, np.ndarray]
    shoulders: tuple[np.ndarray, np.ndarray]


def draw_physique(rng: np.random.Generator) -> Physique:
    """A random adult body."""
    return Physique(
        height_m=rng.uniform(1.5, 2.0),
        girth=rng.uniform(0.85, 1.25),
        shoulders=rng.uniform(0.9, 1.12),
        legs=rng.uniform(0.95, 1.05),
        arms=rng.uniform(0.97, 1.06),
        head=rng.uniform(0.93, 1.08),
    )


def draw_look(rng: np.random.Generator) -> Look:
    """Random colours; concert black is as likely for every instrument."""
    shirt, trousers = _cloth(rng), _cloth(rng)
    return Look(
        skin=np.clip(_between(SKIN_TONES, rng), 0, 1),
        hair=np.clip(_between(HAIR_TONES, rng), 0, 1),
        shirt=shirt,
        trousers=shirt if rng.random() < 0.2 else trousers,
        shoes=_cloth(rng) * 0.5,
        hair_style=str(rng.choice(HAIR_STYLES)),
        long_sleeves=bool(rng.random() < 0.65),
    )


def joints(physique: Physique, stance: Stance) -> Joints:
    """Everything but the arms, which follow the instrument."""
    height, seated = physique.height_m, stance.seat_m is not None
    leg = 0.5 * height * physique.legs
    trunk = height - leg - 0.175 * height
    pelvis = np.array([0.0, stance.seat_m + 0.085 * physique.girth if seated else leg - 0.02, 0.0])
    up = unit(np.array([np.sin(stance.sway), 1.0, np.sin(stance.lean)]))
    neck = pelvis + trunk * up
    head_axes = _rotation_y(stance.turn) @ _rotation_x(stance.nod)
    head = neck + 0.04 * height * up + 0.068 * height * head_axes[:, 1]

    hips, knees, ankles, shoulders = [], [], [], []
    for sign in (-1.0, 1.0):
        hip = pelvis + np.array([sign * 0.052 * height, 0.0, 0.0])
        knee_x = sign * stance.knees_m / 2
        ankle_z = 0.245 * height if seated else 0.03 * sign
        ankle = np.array([knee_x * (0.85 if seated else 1.05), 0.08, ankle_z])
        knee, ankle = bend(hip, ankle, 0.245 * height, leg - 0.245 * height - 0.095, np.array([knee_x * 2, 0.3, 1.0]))
        hips.append(hip)
        knees.append(knee)
        ankles.append(ankle)
        shoulders.append(neck - 0.022 * height * up + np.array([sign * 0.107 * height * physique.shoulders, 0, 0]))
    return Joints(pelvis, up, neck, head, head_axes.T, tuple(hips), tuple(knees), tuple(ankles), tuple(shoulders))


def bend(root: np.ndarray, target: np.ndarray, upper_m: float, lower_m: float, pole: np.ndarray) -> tuple:
    """Two bones from `root` towards `target` [3] -> (the joint between, the end), the joint pushed towards `pole`.

    A target out of reach is approached with the limb almost straight.
    """
    reach = np.linalg.norm(target - root)
    ahead = (target - root) / max(reach, 1e-6)
    reach = np.clip(reach, abs(upper_m - lower_m) * 1.1, (upper_m + lower_m) * 0.995)
    along = (upper_m**2 - lower_m**2 + reach**2) / (2 * reach)
    aside = np.sqrt(max(upper_m**2 - along**2, 0.0))
    outward = unit(pole - (pole @ ahead) * ahead)
    return root + along * ahead + aside * outward, root + reach * ahead


def body_surfaces(physique: Physique, look: Look, pose: Joints) -> list[Surface]:
    """Trunk, head and legs."""
    height, girth = physique.height_m, physique.girth
    trunk = pose.neck - pose.pelvis
    shoulder = 0.107 * height * physique.shoulders
    # Shares of the way from the seat to the neck, half-widths and half-depths in shares of the height.
    torso = np.array(
        [
            (-0.06, 0.098, 0.070),
            (0.1, 0.094, 0.067),
            (0.25, 0.087, 0.063),
            (0.5, 0.089, 0.065),
            (0.75, 0.096, 0.067),
        ]
        + [(0.9, 0.086, 0.056), (0.97, 0.055, 0.04), (1.0, 0.03, 0.03)]
    )
    spine = pose.pelvis + torso[:, :1] * trunk
    seat = np.array([0.094, 0.05, 0.064]) * height * girth
    surfaces = [
        tube(spine, torso[:, 1:] * height * girth, look.shirt),
        ellipsoid(pose.pelvis, seat, look.trousers),
        capsule(*pose.shoulders, 0.032 * height * girth, 0.032 * height * girth, look.shirt),
        capsule(pose.neck, pose.head, 0.030 * height * girth**0.5, 0.030 * height * girth**0.5, look.skin),
    ]
    for sign, hip, knee, ankle in zip((-1.0, 1.0), pose.hips, pose.knees, pose.ankles, strict=True):
        surfaces.append(capsule(hip, knee, 0.048 * height * girth, 0.034 * height * girth, look.trousers))
        surfaces.append(capsule(knee, ankle, 0.034 * height * girth, 0.026 * height, look.trousers))
        toe = unit(np.array([0.3 * sign, 0.0, 1.0]))
        shoe_axes = np.stack([np.cross([0, 1, 0], toe), [0, 1, 0], toe])
        shoe = ankle + np.array([0, 0.045 - ankle[1], 0]) + 0.045 * height * toe
        surfaces.append(ellipsoid(shoe, np.array([0.027, 0.025, 0.075]) * height, look.shoes, shoe_axes))
    return surfaces + _head(physique, look, pose, shoulder)


def arm_surfaces(
    physique: Physique, look: Look, pose: Joints, side: int, hand: np.ndarray, pole: np.ndarray
) -> list[Surface]:
    """One arm (side 0 right, 1 left) whose palm is at `hand` [3] if it can be, its elbow towards `pole`."""
    height, girth = physique.height_m, physique.girth
    upper, lower = 0.172 * height * physique.arms, 0.20 * height * physique.arms
    shoulder = pose.shoulders[side]
    elbow, palm = bend(shoulder, hand, upper, lower, pole)
    wrist = elbow + (palm - elbow) * 0.8
    sleeve = look.shirt if look.long_sleeves else look.skin
    ahead = unit(palm - elbow)
    across = unit(np.cross(ahead, pole + 1e-3))
    hand_axes = np.stack([across, np.cross(ahead, across), ahead])
    return [
        capsule(shoulder, elbow, 0.032 * height * girth, 0.025 * height * girth, look.shirt),
        capsule(elbow, wrist, 0.025 * height * girth, 0.017 * height, sleeve),
        ellipsoid(palm, np.array([0.022, 0.017, 0.046]) * height, look.skin, hand_axes),
    ]


def _head(physique: Physique, look: Look, pose: Joints, shoulder_m: float) -> list[Surface]:
    size = physique.height_m * physique.head
    left, up, front = pose.head_axes
    surfaces = [
        ellipsoid(pose.head, np.array([0.043, 0.066, 0.054]) * size, look.skin, pose.head_axes),
        ellipsoid(pose.head + (0.056 * front - 0.005 * up) * size, np.full(3, 0.010 * size), look.skin),
    ]
    if look.hair_style == "bald":
        return surfaces
    crown = pose.head + (0.014 * up - 0.014 * front) * size
    surfaces.append(ellipsoid(crown, np.array([0.048, 0.060, 0.052]) * size, look.hair, pose.head_axes))
    if look.hair_style == "bun":
        surfaces.append(ellipsoid(crown + (0.055 * up - 0.03 * front) * size, np.full(3, 0.025 * size), look.hair))
    if look.hair_style == "long":
        for sign in (-1.0, 1.0):
            top = crown + (0.036 * sign * left - 0.010 * front) * size
            tip = pose.neck + np.array([0.4 * sign * shoulder_m, -0.02, 0.01])
            surfaces.append(capsule(top, tip, 0.020 * size, 0.014 * size, look.hair))
    return surfaces


def _cloth(rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.35:
        return np.full(3, rng.uniform(0.04, 0.16))
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.85), rng.uniform(0.2, 0.95)))


def _between(tones: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A tone [3] between two neighbours of a scale of tones [N,3]."""
    at = rng.uniform(0, len(tones) - 1)
    low = min(int(at), len(tones) - 2)
    return tones[low] + (at - low) * (tones[low + 1] - tones[low]) + rng.normal(0, 0.015, 3)


def _rotation_x(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])


def _rotation_y(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
