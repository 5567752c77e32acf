"""Musicians: a baked body, clothes, an instrument and a way to play it -> meshes at any time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from demo_data import bodies, instruments
from demo_data.bodies import FRAME_SECONDS, HABITS, Performer
from demo_data.figure import Physique, Stance

from open_data import solids
from open_data.depth_camera import PIXEL_RAD, photograph
from open_data.humans import CLOTH_M, Body, Rig
from open_data.posing import pose, take_stance
from open_data.solids import Solid

HAIR_M = 0.015  # how far hair stands off the head
WAIST_M = 0.05  # height of the trousers above the hips
AVERAGE_TRUNK = 0.20  # width of an average trunk, in shares of the height


def draw_musician(instrument: str, body: Body, rng: np.random.Generator) -> Performer:
    """A random way to play for a body: the demo's performers, with the measures of this one."""
    performer = bodies.draw_performer(instrument, rng)
    measures = Physique(body.height_m, girth_of(body), 1.0, 1.0, 1.0, 1.0)
    camera = replace(performer.camera, pixel_rad=PIXEL_RAD)
    return replace(performer, physique=measures, camera=camera)


def girth_of(body: Body) -> float:
    """How wide the waist is, against an average body of the same height."""
    waist = np.abs(body.vertices[:, 1] - 0.06 * body.height_m) < 0.02
    trunk = waist & (np.abs(body.vertices[:, 0]) < 0.14 * body.height_m)
    return float(np.clip(np.ptp(body.vertices[trunk, 0]) / (AVERAGE_TRUNK * body.height_m), 0.8, 1.3))


def cloud(
    performer: Performer, body: Body, rig: Rig, frame: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The performer at a frame -> visible points xyz [P,3] in metres and rgb [P,3] in 0..255 (uint8).

    `rng` draws the camera's noise alone; the pose depends on the frame's number.
    """
    mesh = playing(performer, body, rig, frame * FRAME_SECONDS)
    return photograph(mesh, bodies.place(performer), performer.camera, rng)[:2]


def playing(performer: Performer, body: Body, rig: Rig, time_s: float) -> Solid:
    """The performer, the instrument, the chair and the stand at a time, in the body frame."""
    stroke, fingering, sway, nod = np.sin(
        performer.motion + 2 * np.pi * time_s * np.array([performer.strokes_hz, 0.23, 0.17, 0.31])
    )
    habit = HABITS[performer.instrument]
    stance = Stance(
        seat_m=performer.seat_m,
        lean=performer.lean + 0.02 * nod,
        sway=0.05 * sway,
        knees_m=habit.knees_m if performer.seat_m else 0.13 * body.height_m,
        nod=0.10 + 0.10 * nod,
        turn=habit.turn + 0.1 * sway,
    )
    posture = take_stance(body, rig, stance)
    held = instruments.hold(
        performer.instrument,
        performer.physique,
        posture.joints,
        performer.style,
        stroke,
        0.5 + 0.5 * fingering,
        draw=solids,
    )
    colours, clothed = dressed(performer, body, rig)
    vertices = pose(body, rig, posture, held.hands, held.elbows, clothed)
    parts = [solids.solid(vertices, rig.triangles, colours), *held.surfaces]
    if performer.seat_m:
        parts += bodies.chair(performer.seat_m, performer.look.shoes, draw=solids)
    if performer.music_stand:
        parts += bodies.music_stand(performer.music_stand, draw=solids)
    return solids.merge(parts)


def dressed(performer: Performer, body: Body, rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """Colours [V,3] of the body's vertices, and how far each stands off the skin [V], in units of CLOTH_M."""
    look = performer.look
    main = [rig.names[bone].partition(".")[0] for bone in rig.bones[np.arange(len(rig.bones)), rig.weights.argmax(1)]]
    sleeve = look.shirt if look.long_sleeves else look.skin
    wear = {
        **{"root": look.trousers, "pelvis": look.trousers, "upperleg": look.trousers, "lowerleg": look.trousers},
        **{"foot": look.shoes, "toe": look.shoes, "spine": look.shirt, "clavicle": look.shirt},
        **{"shoulder": look.shirt, "upperarm": look.shirt, "lowerarm": sleeve},
    }
    kinds = {name: next((kind for kind in wear if name.startswith(kind)), "") for name in set(main)}
    colours = np.array([wear.get(kinds[name], look.skin) for name in main])
    clothed = np.array([float(kinds[name] != "") for name in main])
    if not look.long_sleeves:
        clothed[[name.startswith("lowerarm") for name in main]] = 0.0
    colours[np.array([name.startswith("spine") for name in main]) & (body.vertices[:, 1] < WAIST_M)] = look.trousers
    is_head = np.array([name == "head" for name in main])
    if look.hair_style != "bald":
        centre = body.heads[rig.names.index("head")] + np.array([0.0, 0.04, 0.04]) * body.height_m
        over, behind = body.vertices[:, 1] - centre[1], centre[2] - body.vertices[:, 2]
        nape = -0.075 if look.hair_style == "long" else -0.02
        hair = is_head & ((over > 0.035 * body.height_m - 0.4 * np.maximum(behind, 0)) | (behind > 0.012))
        hair &= over > nape * body.height_m
        colours[hair] = look.hair
        clothed[hair] = HAIR_M / CLOTH_M
    return colours, clothed
