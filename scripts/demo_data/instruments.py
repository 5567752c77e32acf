"""The five instruments: their measures, their surfaces, and how a performer holds each.

Instrument frame in metres. String instruments: the origin is the bottom of the sound box on its front, y runs along
the strings to the head and z out of the front. Saxophone: the origin is the top of the straight tube, y runs up along
it and z to the side of the bell.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np

from demo_data import shapes
from demo_data.figure import Joints, Physique
from demo_data.shapes import Frame, Surface, frame_along, unit

# Half the outline of a sound box, in shares of its length: (height, half-width) from the bottom to the neck.
VIOL_OUTLINE = np.array([
    (0, 0.03), (0.015, 0.15), (0.06, 0.235), (0.14, 0.285), (0.22, 0.29), (0.30, 0.265), (0.355, 0.26), (0.39, 0.185),
    (0.48, 0.155), (0.57, 0.165), (0.62, 0.215), (0.66, 0.215), (0.75, 0.235), (0.84, 0.225), (0.92, 0.17),
    (0.975, 0.09), (1, 0.04),
])  # fmt: skip
BASS_OUTLINE = np.array([
    (0, 0.04), (0.015, 0.17), (0.06, 0.25), (0.14, 0.295), (0.22, 0.30), (0.30, 0.27), (0.36, 0.25), (0.40, 0.19),
    (0.48, 0.16), (0.56, 0.165), (0.62, 0.205), (0.66, 0.21), (0.74, 0.22), (0.82, 0.195), (0.90, 0.135),
    (0.96, 0.07), (1, 0.04),
])  # fmt: skip
GUITAR_OUTLINE = np.array([
    (0, 0.08), (0.015, 0.20), (0.06, 0.30), (0.14, 0.362), (0.25, 0.385), (0.36, 0.365), (0.46, 0.305), (0.56, 0.25),
    (0.63, 0.24), (0.70, 0.255), (0.79, 0.285), (0.87, 0.285), (0.94, 0.235), (0.985, 0.14), (1, 0.06),
])  # fmt: skip
# Openings of the front, in shares of the sound box's length: centre x, centre y, half-axes.
F_HOLES = np.array([(-0.115, 0.43, 0.018, 0.095), (0.115, 0.43, 0.018, 0.095)])
SOUND_HOLE = np.array([(0.0, 0.68, 0.105, 0.105)])
BLACK, BRIDGE, STEEL = np.array([(0.06, 0.05, 0.05), (0.80, 0.62, 0.40), (0.50, 0.50, 0.52)])


@dataclass(frozen=True)
class StringForm:
    """A string instrument of average size, lengths in metres, outline and holes in shares of the sound box's length.

    bridge is the bridge's height along the sound box (share); bow_m is zero where no bow is used; sizes is the range of
    factors by which performers' instruments differ from the average.
    """

    body_m: float
    depth_m: float
    neck_m: float
    head_m: float
    neck_width_m: float
    fingerboard_m: float
    bridge_rise_m: float
    endpin_m: float
    bow_m: float
    bridge: float
    outline: np.ndarray = field(repr=False)
    holes: np.ndarray = field(repr=False)
    sizes: tuple[float, float]


STRING_FORMS = {
    "violin": StringForm(
        body_m=0.356, depth_m=0.034, neck_m=0.13, head_m=0.105, neck_width_m=0.030, fingerboard_m=0.27,
        bridge_rise_m=0.030, endpin_m=0.0, bow_m=0.74, bridge=0.43, outline=VIOL_OUTLINE, holes=F_HOLES,
        sizes=(0.95, 1.08),
    ),
    "cello": StringForm(
        body_m=0.755, depth_m=0.115, neck_m=0.275, head_m=0.20, neck_width_m=0.045, fingerboard_m=0.58,
        bridge_rise_m=0.075, endpin_m=0.30, bow_m=0.71, bridge=0.43, outline=VIOL_OUTLINE, holes=F_HOLES,
        sizes=(0.95, 1.05),
    ),
    "doublebass": StringForm(
        body_m=1.10, depth_m=0.19, neck_m=0.42, head_m=0.27, neck_width_m=0.060, fingerboard_m=0.85,
        bridge_rise_m=0.13, endpin_m=0.12, bow_m=0.70, bridge=0.43, outline=BASS_OUTLINE, holes=F_HOLES,
        sizes=(0.95, 1.05),
    ),
    "guitar": StringForm(
        body_m=0.49, depth_m=0.10, neck_m=0.32, head_m=0.19, neck_width_m=0.056, fingerboard_m=0.45,
        bridge_rise_m=0.010, endpin_m=0.0, bow_m=0.0, bridge=0.27, outline=GUITAR_OUTLINE, holes=SOUND_HOLE,
        sizes=(0.94, 1.06),
    ),
}  # fmt: skip
# Colours of sound boxes and of brass, each from pale to dark.
WOOD_TONES = {
    "violin": np.array([(0.72, 0.40, 0.16), (0.58, 0.26, 0.10), (0.38, 0.16, 0.07)]),
    "cello": np.array([(0.70, 0.39, 0.16), (0.57, 0.27, 0.10), (0.40, 0.18, 0.08)]),
    "doublebass": np.array([(0.68, 0.42, 0.18), (0.52, 0.28, 0.12), (0.34, 0.18, 0.09)]),
    "guitar": np.array([(0.88, 0.70, 0.42), (0.80, 0.55, 0.28), (0.55, 0.28, 0.12)]),
}
METAL_TONES = np.array([(0.86, 0.66, 0.26), (0.78, 0.55, 0.18), (0.62, 0.45, 0.22)])

# The saxophone's tube from the mouthpiece to the bell, for an alto: (y, z, radius) in metres.
SAXOPHONE_TUBE = np.array([
    (0.035, -0.20, 0.009), (0.055, -0.14, 0.011), (0.065, -0.08, 0.010), (0.06, -0.03, 0.011), (0.03, -0.005, 0.012),
    (0.0, 0.0, 0.014), (-0.25, 0.0, 0.022), (-0.46, 0.0, 0.031), (-0.52, 0.02, 0.035), (-0.545, 0.055, 0.038),
    (-0.535, 0.095, 0.041), (-0.48, 0.12, 0.044), (-0.36, 0.13, 0.048), (-0.27, 0.14, 0.056), (-0.23, 0.15, 0.068),
    (-0.215, 0.155, 0.078),
])  # fmt: skip


@dataclass(frozen=True)
class Style:
    """One performer's way with the instrument.

    size is a factor on the average instrument; tone 0..1 is how dark it is; tilt, turn and lift in -1..1 bend the
    usual posture; bowed is whether a bow is used where both are common.
    """

    size: float
    tone: float
    tilt: float
    turn: float
    lift: float
    bowed: bool


@dataclass(frozen=True)
class Held:
    """An instrument in place: its surfaces, the palms' positions [3] and the directions [3] the elbows point to, each
    as (right, left)."""

    surfaces: list[Surface]
    hands: tuple[np.ndarray, np.ndarray]
    elbows: tuple[np.ndarray, np.ndarray]


def hold(
    instrument: str,
    physique: Physique,
    pose: Joints,
    style: Style,
    stroke: float,
    fingering: float,
    draw: ModuleType = shapes,
) -> Held:
    """Puts an instrument into a performer's hands.

    stroke -1..1 is the phase of the bowing or plucking arm, fingering 0..1 the left hand's place from the head of the
    neck towards the sound box. draw has the primitives `box`, `ellipsoid`, `plate` and `tube`: those of `shapes`
    make samples of surfaces, those of `open_data.solids` make meshes.
    """
    return HOLDS[instrument](physique, pose, style, stroke, fingering, draw)


def _hold_violin(
    physique: Physique, pose: Joints, style: Style, stroke: float, fingering: float, draw: ModuleType
) -> Held:
    form = STRING_FORMS["violin"]
    collarbone = 0.55 * pose.neck + 0.45 * pose.shoulders[1] + np.array([0.0, 0.035, 0.05])
    azimuth = 0.75 + 0.25 * style.turn
    axis = np.array([np.sin(azimuth), -0.05 + 0.25 * style.lift, np.cos(azimuth)])
    frame = frame_along(collarbone, axis, np.array([-0.45 + 0.15 * style.tilt, 1.0, 0.1]))
    neck = _on_neck(form, style, frame, fingering)
    contact = frame.at(0.0, 0.55 * form.body_m * style.size, form.bridge_rise_m + 0.012)
    bow, frog = _bow(draw, form, contact, frame, stroke, 0.12 * style.tilt)
    surfaces = [*_string_instrument(draw, "violin", form, style, frame), *bow]
    return Held(surfaces, (frog, neck), (np.array([-0.7, -0.8, -0.1]), np.array([0.1, -1.0, 0.1])))


def _hold_cello(
    physique: Physique, pose: Joints, style: Style, stroke: float, fingering: float, draw: ModuleType
) -> Held:
    form = STRING_FORMS["cello"]
    ear = pose.neck + np.array([0.115, 0.08, 0.05 + 0.04 * physique.girth])
    floor = np.array([0.05 * style.tilt, 0.0, 0.78 + 0.07 * style.lift])
    axis = unit(ear - floor)
    frame = frame_along(floor + form.endpin_m * axis, axis, np.array([0.22 * style.turn, 0.25, 1.0]))
    contact = frame.at(0.0, 0.56 * form.body_m * style.size, form.bridge_rise_m + 0.03)
    bow, frog = _bow(draw, form, contact, frame, stroke, 0.12 * style.tilt)
    surfaces = [*_string_instrument(draw, "cello", form, style, frame), *bow]
    neck = _on_neck(form, style, frame, fingering)
    return Held(surfaces, (frog, neck), (np.array([-1.0, -0.4, 0.1]), np.array([1.0, -0.35, 0.2])))


def _hold_doublebass(
    physique: Physique, pose: Joints, style: Style, stroke: float, fingering: float, draw: ModuleType
) -> Held:
    form = STRING_FORMS["doublebass"]
    foot = np.array([0.16 + 0.05 * style.tilt, 0.13 + 0.03 * style.lift, 0.42])
    axis = np.array([0.04 + 0.05 * style.tilt, 1.0, -0.16])
    frame = frame_along(foot, axis, np.array([-0.30 + 0.25 * style.turn, 0.0, 1.0]))
    surfaces = _string_instrument(draw, "doublebass", form, style, frame)
    contact = frame.at(0.0, 0.56 * form.body_m * style.size, form.bridge_rise_m + 0.03)
    right = frame.at(-0.05, (0.80 + 0.03 * stroke) * form.body_m * style.size, 0.09)
    if style.bowed:
        bow, right = _bow(draw, form, contact, frame, stroke, -0.15)
        surfaces += bow
    neck = _on_neck(form, style, frame, fingering)
    return Held(surfaces, (right, neck), (np.array([-1.0, -0.5, -0.1]), np.array([1.0, -0.2, -0.1])))


def _hold_guitar(
    physique: Physique, pose: Joints, style: Style, stroke: float, fingering: float, draw: ModuleType
) -> Held:
    form = STRING_FORMS["guitar"]
    elevation = 0.30 + 0.2 * style.lift
    axis = np.array([np.cos(elevation), np.sin(elevation), 0.18 + 0.15 * style.turn])
    belly = pose.pelvis + np.array([-0.03, 0.13, 0.085 * physique.height_m * physique.girth + 0.12])
    frame = _through(belly, axis, np.array([0.0, 0.18 + 0.12 * style.tilt, 1.0]), 0.48 * form.body_m * style.size)
    right = frame.at(0.05 * stroke, 0.55 * form.body_m * style.size, 0.045)
    surfaces = _string_instrument(draw, "guitar", form, style, frame)
    neck = _on_neck(form, style, frame, fingering)
    return Held(surfaces, (right, neck), (np.array([-1.0, -0.1, -0.3]), np.array([0.5, -1.0, -0.2])))


def _hold_saxophone(
    physique: Physique, pose: Joints, style: Style, stroke: float, fingering: float, draw: ModuleType
) -> Held:
    _, up, front = pose.head_axes
    mouth = pose.head + physique.height_m * physique.head * (0.056 * front - 0.034 * up)
    axis = np.array([0.28 + 0.14 * style.tilt, 1.0, 0.12 + 0.12 * style.lift])
    size = style.size * 1.12
    tip = size * SAXOPHONE_TUBE[0, :2]
    aim = frame_along(mouth, axis, np.array([-0.25 + 0.45 * style.turn, 0.0, 1.0]))
    frame = Frame(aim.at(0.0, -tip[0], -tip[1]), aim.axes)
    fingers = 0.008 * stroke
    right = frame.at(-0.03, -0.36 * size + fingers, -0.03)
    left = frame.at(0.03, -0.13 * size - fingers * fingering, -0.03)
    surfaces = _saxophone(draw, style, frame, size, pose)
    return Held(surfaces, (right, left), (np.array([-0.8, -0.9, -0.4]), np.array([0.8, -0.9, -0.1])))


HOLDS: dict[str, Callable[[Physique, Joints, Style, float, float, ModuleType], Held]] = {
    "cello": _hold_cello,
    "doublebass": _hold_doublebass,
    "guitar": _hold_guitar,
    "saxophone": _hold_saxophone,
    "violin": _hold_violin,
}


def _string_instrument(draw: ModuleType, name: str, form: StringForm, style: Style, frame: Frame) -> list[Surface]:
    """Sound box, neck, fingerboard, head, bridge, tailpiece and endpin."""
    size = style.size
    body, depth, neck = form.body_m * size, form.depth_m * size, form.neck_m * size
    wood = _tone(WOOD_TONES[name], style.tone)
    dark = wood * 0.72 if form.bow_m else wood * np.array([0.45, 0.33, 0.28])
    rise, width = form.bridge_rise_m * size, form.neck_width_m * size
    tilt = rise / (1.8 * body)  # the fingerboard climbs towards the bridge

    def block(y: float, z: float, half_sizes: tuple[float, float, float], colour: np.ndarray) -> Surface:
        return draw.box(Frame(frame.at(0.0, y, z), frame.axes), np.array(half_sizes), colour)

    outline, arch = form.outline * body, 0.02 * body if form.bow_m else 0.0
    board = form.fingerboard_m * size / 2
    board_z = width * 0.3 + tilt * body * 0.5
    bridge = form.bridge * body
    surfaces = [
        draw.plate(frame, outline[:, 0], outline[:, 1], depth, arch, wood, dark, form.holes * body),
        block(body + neck / 2, -0.012 * size, (width / 2, neck / 2 + 0.02, width * 0.4), dark),
        block(body + neck - board, board_z, (width * 0.55, board, 0.006), BLACK),
        block(bridge, rise / 2, (width * 0.9, 0.005, max(rise / 2, 0.006)), BRIDGE),
    ]
    head, middle = form.head_m * size, body + neck + form.head_m * size / 2
    if form.bow_m:
        scroll = np.array([0.6, 0.75, 0.8]) * width
        surfaces += [
            block(bridge * 0.5, rise * 0.5, (width * 0.6, bridge * 0.42, 0.008), BLACK),
            block(middle - 0.15 * head, -0.01, (width * 0.42, head * 0.38, 0.022), dark),
            draw.ellipsoid(frame.at(0.0, middle + 0.36 * head, -0.01), scroll, dark, frame.axes),
        ]
        for y in (middle - 0.18 * head, middle + 0.05 * head):
            pegs = np.stack([frame.at(-1.4 * width, y, -0.01), frame.at(1.4 * width, y, -0.01)])
            surfaces.append(draw.tube(pegs, np.full(2, 0.007), BLACK, frame.axes[1], 0.3))
    else:
        surfaces.append(block(middle, -0.012, (width * 0.65, head / 2, 0.009), dark))
    if form.endpin_m:
        pin = np.stack([frame.at(0.0, 0.0, -depth / 2), frame.at(0.0, -form.endpin_m, -depth / 2)])
        surfaces.append(draw.tube(pin, np.full(2, 0.007), STEEL, frame.axes[0], 0.3))
    return surfaces


def _saxophone(draw: ModuleType, style: Style, frame: Frame, size: float, pose: Joints) -> list[Surface]:
    """Mouthpiece, conical tube with bow and bell, keys, guard and the strap around the neck."""
    metal = _tone(METAL_TONES, style.tone)
    path = np.stack([frame.at(0.0, y * size, z * size) for y, z in SAXOPHONE_TUBE[:, :2]])
    radii = SAXOPHONE_TUBE[:, 2] * size
    bell = unit(path[-1] - path[-2])
    opening = frame_along(path[-1] - 0.012 * bell, frame.axes[0], bell)
    strap = np.stack([pose.neck + np.array([0.0, -0.02, 0.06]), path[6]])
    surfaces = [
        draw.tube(path[:3], radii[:3] * 1.1, BLACK, frame.axes[0]),
        draw.tube(path[2:], radii[2:], metal, frame.axes[0]),
        # The bell's open end is seen into: a dark disc a little inside it.
        draw.ellipsoid(opening.origin, np.array([0.97, 0.97, 0.05]) * radii[-1], metal * 0.5, opening.axes),
        draw.tube(strap, np.full(2, 0.008), BLACK, loss=0.3),
    ]
    for place in np.arange(-0.45, -0.03, 0.045):
        key = frame.at(0.004 * np.sin(90 * place), place * size, 0.028 * size)
        surfaces.append(draw.ellipsoid(key, np.array([0.016, 0.016, 0.007]) * size, metal * 0.85, frame.axes))
    for place, z in ((-0.50, 0.165), (-0.40, 0.18)):
        key = frame.at(-0.02, place * size, z * size)
        surfaces.append(draw.ellipsoid(key, np.array([0.024, 0.024, 0.008]) * size, metal * 0.9, frame.axes))
    rods = np.stack([frame.at(-0.024, -0.04 * size, 0.012), frame.at(-0.036, -0.44 * size, 0.012)])
    surfaces.append(draw.tube(rods, np.full(2, 0.006), metal * 0.9, frame.axes[2], 0.2))
    return surfaces


def _bow(
    draw: ModuleType, form: StringForm, contact: np.ndarray, frame: Frame, stroke: float, slope: float
) -> tuple[list[Surface], np.ndarray]:
    """A bow across the strings at `contact` [3], its frog on the right -> (surfaces, the frog's place [3]).

    stroke -1..1 runs from frog to tip; slope tilts the bow out of the square to the strings.
    """
    direction = unit(-frame.axes[0] + slope * frame.axes[1])
    frog = contact + direction * form.bow_m * (0.42 + 0.33 * stroke)
    tip = frog - direction * form.bow_m
    # The stick stands a little off the hair, away from the strings.
    off = 0.022 * frame.axes[2]
    stick = draw.tube(
        np.stack([frog + off, tip + 0.6 * off]), np.full(2, 0.006), np.array([0.35, 0.16, 0.08]), off, 0.35
    )
    hair = draw.tube(np.stack([frog, tip]), np.full(2, 0.004), np.array([0.85, 0.82, 0.75]), off, 0.6)
    return [stick, hair], frog


def _on_neck(form: StringForm, style: Style, frame: Frame, fingering: float) -> np.ndarray:
    """The left palm's place behind the neck."""
    return frame.at(0.012, (form.body_m + form.neck_m * (0.92 - 0.6 * fingering)) * style.size, -0.02)


def _through(point: np.ndarray, axis: np.ndarray, z_hint: np.ndarray, along_m: float) -> Frame:
    """A frame along `axis` that passes `point` [3] at y = along_m."""
    frame = frame_along(point, axis, z_hint)
    return Frame(frame.at(0.0, -along_m, 0.0), frame.axes)


def _tone(tones: np.ndarray, darkness: float) -> np.ndarray:
    """A colour [3] on a scale of tones [N,3], darkness 0..1."""
    return np.array([np.interp(darkness, np.linspace(0, 1, len(tones)), channel) for channel in tones.T])
