"""Random performers with their instruments, and the coloured point clouds a depth camera takes of them."""

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from demo_data import shapes
from demo_data.camera import Camera, draw_camera, photograph
from demo_data.figure import (
    Look,
    Physique,
    Stance,
    arm_surfaces,
    body_surfaces,
    draw_look,
    draw_physique,
    joints,
)
from demo_data.instruments import STRING_FORMS, Style, hold
from demo_data.shapes import Frame, Surface, frame_along, merge

FRAME_SECONDS = 0.15  # time between two frames of one performer


@dataclass(frozen=True)
class Habit:
    """What is usual for an instrument: chance to sit, chance to use a bow, distance between the knees in metres when
    sitting, angle of the trunk forward and of the head to the left in radians, and the range of instrument sizes."""

    sits: float
    bows: float
    knees_m: float
    lean: float
    turn: float
    sizes: tuple[float, float]


HABITS = {
    "cello": Habit(1.0, 1.0, 0.56, 0.10, 0.0, STRING_FORMS["cello"].sizes),
    "doublebass": Habit(0.15, 0.5, 0.40, 0.05, 0.1, STRING_FORMS["doublebass"].sizes),
    "guitar": Habit(0.6, 0.0, 0.34, 0.05, 0.1, STRING_FORMS["guitar"].sizes),
    "saxophone": Habit(0.3, 0.0, 0.34, 0.02, 0.0, (0.9, 1.2)),
    "violin": Habit(0.35, 1.0, 0.34, 0.0, 0.45, STRING_FORMS["violin"].sizes),
}


@dataclass(frozen=True)
class Performer:
    """One performer with one instrument before one camera.

    yaw is the turn to the left in radians, offset_m [2] the place on the floor (x, z), motion [4] the phases of the
    stroke, the fingering, the sway and the nod, music_stand its side (x in metres) if there is one.
    """

    instrument: str
    physique: Physique
    look: Look
    style: Style
    camera: Camera
    seat_m: float | None
    lean: float
    yaw: float
    offset_m: np.ndarray
    strokes_hz: float
    motion: np.ndarray
    music_stand: float | None


def draw_performer(instrument: str, rng: np.random.Generator) -> Performer:
    """A random performer of the instrument."""
    habit = HABITS[instrument]
    sits = rng.random() < habit.sits
    # A doublebass is played from a high stool, the others from a chair.
    seat = rng.uniform(0.68, 0.76) if instrument == "doublebass" else rng.uniform(0.42, 0.50)
    return Performer(
        instrument=instrument,
        physique=draw_physique(rng),
        look=draw_look(rng),
        style=Style(
            size=rng.uniform(*habit.sizes),
            tone=rng.random(),
            tilt=rng.uniform(-1, 1),
            turn=rng.uniform(-1, 1),
            lift=rng.uniform(-1, 1),
            bowed=bool(rng.random() < habit.bows),
        ),
        camera=draw_camera(rng),
        seat_m=seat if sits else None,
        lean=habit.lean + rng.uniform(-0.05, 0.08),
        yaw=np.radians(rng.uniform(-35, 35)),
        offset_m=rng.normal(0.0, 0.1, 2),
        strokes_hz=rng.uniform(0.3, 0.9),
        motion=rng.uniform(0, 2 * np.pi, 4),
        music_stand=rng.choice([-1.0, 1.0]) * rng.uniform(0.45, 0.6) if rng.random() < 0.2 else None,
    )


def cloud(performer: Performer, frame: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The performer at a frame -> visible points xyz [P,3] in metres and rgb [P,3] in 0..255 (uint8).

    `rng` draws the camera's noise alone; the pose depends on the frame's number.
    """
    return photograph(scene(performer, frame * FRAME_SECONDS), place(performer), performer.camera, rng)


def scene(performer: Performer, time_s: float) -> Surface:
    """All surfaces of the performer at a time, seen and unseen, in the body frame."""
    stroke, fingering, sway, nod = np.sin(
        performer.motion + 2 * np.pi * time_s * np.array([performer.strokes_hz, 0.23, 0.17, 0.31])
    )
    habit, physique, look = HABITS[performer.instrument], performer.physique, performer.look
    stance = Stance(
        seat_m=performer.seat_m,
        lean=performer.lean + 0.02 * nod,
        sway=0.05 * sway,
        knees_m=habit.knees_m if performer.seat_m else 0.13 * physique.height_m,
        nod=0.10 + 0.10 * nod,
        turn=habit.turn + 0.1 * sway,
    )
    pose = joints(physique, stance)
    held = hold(performer.instrument, physique, pose, performer.style, stroke, 0.5 + 0.5 * fingering)
    surfaces = body_surfaces(physique, look, pose) + held.surfaces
    for side in (0, 1):
        surfaces += arm_surfaces(physique, look, pose, side, held.hands[side], held.elbows[side])
    if performer.seat_m:
        surfaces += chair(performer.seat_m, look.shoes)
    if performer.music_stand:
        surfaces += music_stand(performer.music_stand)
    return merge(surfaces)


def chair(seat_m: float, colour: np.ndarray, draw: ModuleType = shapes) -> list[Surface]:
    """A chair or stool under the body frame's origin; draw as in `instruments.hold`."""
    back = frame_along(np.array([0.0, seat_m + 0.28, -0.23]), np.array([0.0, 1.0, -0.15]), np.array([0.0, 0.0, 1.0]))
    seat = Frame(np.array([0.0, seat_m - 0.02, 0.0]), np.eye(3))
    legs = [
        draw.tube(np.array([[x, seat_m, z], [x, 0.0, z]]), np.full(2, 0.013), colour, loss=0.1)
        for x in (-0.19, 0.19)
        for z in (-0.18, 0.18)
    ]
    return [
        draw.box(seat, np.array([0.21, 0.02, 0.21]), colour),
        draw.box(back, np.array([0.20, 0.14, 0.012]), colour),
        *legs,
    ]


def music_stand(side_m: float, draw: ModuleType = shapes) -> list[Surface]:
    """A stand to one side in front of the performer, its desk turned to them; draw as in `instruments.hold`."""
    grey = np.full(3, 0.12)
    foot = np.array([side_m, 0.0, 0.45])
    desk = frame_along(foot + np.array([0.0, 1.05, 0.0]), np.array([0.0, 1.0, 0.35]), np.array([-side_m, 0.3, -0.6]))
    post = draw.tube(np.stack([foot, desk.origin]), np.full(2, 0.010), grey, loss=0.2)
    return [draw.box(desk, np.array([0.22, 0.15, 0.006]), grey), post]


def place(performer: Performer) -> Frame:
    """Where the body frame lies before the camera: turned by the yaw about y and shifted on the floor."""
    cos, sin = np.cos(performer.yaw), np.sin(performer.yaw)
    x_shift, z_shift = performer.offset_m
    return Frame(np.array([x_shift, 0.0, z_shift]), np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]]))
