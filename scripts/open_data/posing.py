"""A body at rest -> the same body sitting or standing, with its hands where an instrument wants them.

Every bone gets a rotation of its own from the pose at rest to the pose wanted, its head follows from its parent, and
each vertex goes with its bones by their weights (linear blend skinning).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from demo_data.figure import Joints, Stance, bend
from demo_data.shapes import unit

from open_data.humans import CLOTH_M, Body, Rig

SIDES = ("R", "L")  # x < 0 first, as in demo_data.figure
SEAT_TO_HIP = 0.052  # height of the hips above a seat, in shares of the body's height
MIDDLE_OF_HEAD = np.array([0.0, 0.025, 0.003])  # from the top of the neck, in shares of the body's height
CURL = (0.45, 1.1, 1.5)  # radians that the three bones of a finger are bent by
TRUNK = ("spine", "clavicle", "shoulder")


@dataclass(frozen=True)
class Posture:
    """A body in a stance, its arms still free. root [3] is the middle of its hips; trunk and head [3,3] turn these from
    the pose at rest; legs holds (upper, lower) rotations of the right and the left leg; joints are what an instrument
    is held against."""

    root: np.ndarray
    trunk: np.ndarray
    head: np.ndarray
    legs: tuple[tuple[np.ndarray, np.ndarray], ...]
    joints: Joints


def take_stance(body: Body, rig: Rig, stance: Stance) -> Posture:
    """Sits or stands the body on the floor y = 0."""
    at = dict(zip(rig.names, body.heads, strict=True))
    sole = body.vertices[:, 1].min()
    upward = unit(np.array([np.sin(stance.sway), 1.0, np.sin(stance.lean)]))
    trunk = _between(np.array([0.0, 1.0, 0.0]), upward)
    height = SEAT_TO_HIP * body.height_m + stance.seat_m if stance.seat_m is not None else -sole - 0.015
    root = np.array([0.0, height, 0.0])
    hips, knees, ankles, legs = [], [], [], []
    for sign, side in zip((-1.0, 1.0), SIDES, strict=True):
        hip, knee, ankle = (at[f"{name}.{side}"] for name in ("upperleg01", "lowerleg01", "foot"))
        upper_m, lower_m = _length(knee - hip), _length(ankle - knee)
        aside = sign * stance.knees_m / 2
        ahead = upper_m * 0.97 if stance.seat_m is not None else 0.03 * sign
        target = np.array([aside * (0.85 if stance.seat_m is not None else 1.05), ankle[1] - sole, ahead])
        bent, end = bend(hip + root, target, upper_m, lower_m, np.array([aside * 2, 0.3, 1.0]))
        front = np.array([0.0, 0.0, 1.0])
        legs.append(
            (
                _turn(knee - hip, front, bent - hip - root, bent - (hip + root + end) / 2 + 0.05 * front),
                _turn(ankle - knee, front, end - bent, bent - (hip + root + end) / 2 + 0.05 * front),
            )
        )
        hips.append(hip + root)
        knees.append(bent)
        ankles.append(end)
    head = _about(1, stance.turn) @ _about(0, stance.nod)
    neck = root + trunk @ at["neck01"]
    shoulders = tuple(root + trunk @ at[f"upperarm01.{side}"] for side in SIDES)
    centre = neck + trunk @ (at["head"] - at["neck01"]) + head @ MIDDLE_OF_HEAD * body.height_m
    joints = Joints(root, upward, neck, centre, head.T, tuple(hips), tuple(knees), tuple(ankles), shoulders)
    return Posture(root, trunk, head, tuple(legs), joints)


def pose(
    body: Body,
    rig: Rig,
    posture: Posture,
    hands: Sequence[np.ndarray],
    elbows: Sequence[np.ndarray],
    clothed: np.ndarray,
) -> np.ndarray:
    """The vertices [V,3] of the body with its palms at `hands` and its elbows towards `elbows`, (right, left) of [3].

    clothed [V]: whether a vertex is covered, and stands off the skin.
    """
    at = dict(zip(rig.names, body.heads, strict=True))
    arms = {}
    for n, side in enumerate(SIDES):
        shoulder, elbow, wrist, knuckle = (
            at[f"{name}.{side}"] for name in ("upperarm01", "lowerarm01", "wrist", "finger3-1")
        )
        palm = (wrist + knuckle) / 2
        start = posture.joints.shoulders[n]
        bent, end = bend(start, hands[n], _length(elbow - shoulder), _length(palm - elbow), elbows[n])
        rest_pole, pole = np.array([0.0, 0.0, -1.0]), unit(elbows[n])
        upper = _turn(elbow - shoulder, rest_pole, bent - start, pole)
        lower = _turn(palm - elbow, rest_pole, end - bent, pole)
        across = unit(at[f"finger5-1.{side}"] - at[f"finger2-1.{side}"])
        arms[side] = upper, lower, across if side == "L" else -across
    turns = np.stack([_rotation(name, posture, arms) for name in rig.names])  # [B, 3, 3]
    heads = np.zeros_like(body.heads)
    for bone, parent in enumerate(rig.parents):
        heads[bone] = (
            posture.root + body.heads[bone]
            if parent < 0
            else heads[parent] + turns[parent] @ (body.heads[bone] - body.heads[parent])
        )
    rest = body.vertices + CLOTH_M * clothed[:, None] * body.normals
    posed = np.zeros_like(rest)
    for bones, weights in zip(rig.bones.T, rig.weights.T, strict=True):
        from_head = rest - body.heads[bones]
        moved = (turns[bones] * from_head[:, None, :]).sum(axis=2) + heads[bones]
        posed += weights[:, None] * moved
    return posed


def _rotation(name: str, posture: Posture, arms: dict) -> np.ndarray:
    """The rotation of a bone from the pose at rest."""
    part, _, side = name.partition(".")
    if part.startswith(TRUNK):
        return posture.trunk
    if part.startswith("neck"):
        share = int(part[-1]) / 4
        return _orthogonal((1 - share) * posture.trunk + share * posture.head)
    if part.startswith(("head", "eye")):
        return posture.head
    if part.startswith("upperleg"):
        return posture.legs[SIDES.index(side)][0]
    if part.startswith("lowerleg"):
        return posture.legs[SIDES.index(side)][1]
    if part.startswith("upperarm"):
        return arms[side][0]
    if part.startswith(("lowerarm", "wrist", "metacarpal", "finger")):
        _, lower, across = arms[side]
        if part.startswith("finger") and not part.startswith("finger1"):
            return lower @ _around(across, CURL[int(part[-1]) - 1])
        return lower
    return np.eye(3)  # pelvis, feet and toes


def _turn(rest: np.ndarray, rest_side: np.ndarray, wanted: np.ndarray, side: np.ndarray) -> np.ndarray:
    """The rotation that takes direction `rest` to `wanted`, and `rest_side` as near to `side` as that allows."""
    return _axes(wanted, side).T @ _axes(rest, rest_side)


def _axes(along: np.ndarray, side: np.ndarray) -> np.ndarray:
    first = unit(along)
    second = side - (side @ first) * first
    second = unit(second) if _length(second) > 1e-6 else unit(np.cross(first, [0.3, 0.5, 0.8]))
    return np.stack([first, second, np.cross(first, second)])


def _between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The shortest rotation from one unit vector to another that is not opposite."""
    axis = np.cross(start, end)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + start @ end)


def _orthogonal(matrix: np.ndarray) -> np.ndarray:
    """The rotation nearby, by Gram and Schmidt."""
    return _axes(matrix[:, 0], matrix[:, 1]).T


def _around(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rodrigues' rotation about a unit axis."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _about(axis: int, angle: float) -> np.ndarray:
    return _around(np.eye(3)[axis], angle)


def _length(vector: np.ndarray) -> float:
    return float(np.sqrt((vector**2).sum()))
