"""Ensembles: parts of one piece played together, and one capture of all who play, with the truth of both."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
from demo_data import bodies
from demo_data.camera import draw_camera
from demo_data.shapes import Frame
from demo_data.voices import MANNERS

from dataset.points import ply_bytes
from open_data import humans, musicians, pieces, solids, sounds
from open_data.depth_camera import PIXEL_RAD, photograph
from open_data.fonts import VOICES

SPACING_M = 1.5  # from one musician to the next
DISTANCE_M = 2.0  # of the camera, and SPACING_M for each musician
FLOOR_MARGIN_M, FLOOR_GREY = 1.0, 0.45
STRAYS, STRAY_HEIGHTS_M = 60, (0.3, 2.5)
MOST_POINTS = 200_000
ALONE_M = 2.6  # from the camera to a musician who plays alone; of several it sees as many points of each
PAN = 0.6  # of the outermost musicians, 1 is one loudspeaker alone
TRUTH = "scene.json"


@dataclass(frozen=True)
class Ensemble:
    """Instruments, the body of each player, the work, and the seconds of it."""

    instruments: tuple[str, ...]
    people: tuple[str, ...]
    work: str
    seconds: float


def files(ensemble: Ensemble) -> list[str]:
    """What an ensemble's folder holds."""
    stems = [f"stems/{name}.wav" for name in ensemble.instruments]
    clouds = [f"clouds/{name}.ply" for name in ensemble.instruments]
    return ["mixture.wav", *stems, "scene.ply", *clouds, TRUTH, "names.txt"]


def contents(
    ensemble: Ensemble,
    rig: humans.Rig,
    fonts: dict[str, Path],
    music: Path,
    people: Path,
    rng: np.random.Generator,
) -> list[bytes]:
    """The bytes of `files`."""
    order = rng.permutation(len(ensemble.instruments))  # from left to right
    stems, tempo = _play(ensemble, fonts, music, rng)
    sides = np.linspace(-PAN, PAN, len(order))
    channels = {}
    for place, n in enumerate(order):
        share = (1 + sides[place]) / 2
        channels[n] = sounds.as_16_bits(np.stack([2 * (1 - share) * stems[n], 2 * share * stems[n]], axis=1))
    mixture = sum(channels[n].astype(np.int32) for n in sorted(channels))
    assert np.abs(mixture).max() <= 32767  # of at most four sources, each well below a quarter of full scale
    scene, clouds, places = _capture(ensemble, order, rig, people, rng)
    truth = {
        "axes": "metres; x to the right, y up, z towards the viewer",
        "floor_height_m": 0.0,
        "work": ensemble.work,
        "tempo_quarters_per_minute": round(tempo, 3),
        "sources": [
            {
                "name": ensemble.instruments[n],
                "stem": f"stems/{ensemble.instruments[n]}.wav",
                "cloud": f"clouds/{ensemble.instruments[n]}.ply",
                "body": ensemble.people[n],
                "place_m": [round(float(x), 4) for x in places[n]],
                "centroid_m": [round(float(x), 4) for x in clouds[n][0].mean(axis=0, dtype=float)],
                "points": len(clouds[n][0]),
            }
            for n in order
        ],
    }
    names = " ".join(ensemble.instruments[n] for n in order)
    return [
        _wav(mixture.astype(np.int16)),
        *(_wav(channels[n]) for n in range(len(order))),
        ply_bytes(*scene),
        *(ply_bytes(*clouds[n]) for n in range(len(order))),
        (json.dumps(truth, indent=2) + "\n").encode(),
        (names + "\n").encode(),
    ]


def _play(
    ensemble: Ensemble, fonts: dict[str, Path], music: Path, rng: np.random.Generator
) -> tuple[list[np.ndarray], float]:
    """A stem [L] at 44.1 kHz for each instrument, all from the same bar on at one tempo, and the tempo.

    The higher an instrument, the higher the part that it plays.
    """
    piece = pieces.read_piece(pieces.path_of(music, ensemble.work))
    high_to_low = sorted(piece.parts, key=_height, reverse=True)
    middles = [MANNERS[name].lowest + MANNERS[name].highest for name in ensemble.instruments]
    rank = np.argsort(np.argsort(-np.array(middles), kind="stable"), kind="stable")
    which = np.linspace(0, len(high_to_low) - 1, len(ensemble.instruments)).round().astype(int)[rank]
    parts = [sounds.into_range(high_to_low[n], name) for n, name in zip(which, ensemble.instruments, strict=True)]
    tempo = sounds.draw_tempo(max(parts, key=len), rng)
    quarters = ensemble.seconds * tempo / 60
    start = first_bar(piece, quarters, rng)
    stems = []
    for name, part in zip(ensemble.instruments, parts, strict=True):
        voice = VOICES["test"][name][int(rng.integers(len(VOICES["test"][name])))]
        how = replace(sounds.draw_performance(tempo, rng), tempo=tempo)
        played = sounds.perform(sounds.excerpt(part, start, quarters, piece.bars[-1]), how, ensemble.seconds, rng)
        wave = sounds.render(played, voice, fonts[voice.font], how, ensemble.seconds, sounds.PLAYED_HZ)
        # A stem's peak is at most 0.95 / N / (1 + PAN) in either channel: the mixture cannot be clipped.
        wave = sounds.levelled(wave, float(rng.uniform(-2, 2)))
        stems.append(wave / len(ensemble.instruments) / (1 + PAN))
    return stems, tempo


def first_bar(piece: pieces.Piece, quarters: float, rng: np.random.Generator) -> float:
    """Where one of the bars begins after which the piece lasts so many quarters; of a shorter piece, its beginning."""
    starts = [start for start in piece.bars if start + quarters <= piece.bars[-1]] or [0.0]
    return starts[int(rng.integers(len(starts)))]


def _height(part: tuple[pieces.PartNote, ...]) -> float:
    return float(np.mean([pitch for note in part for pitch in note.pitches]))


def _capture(
    ensemble: Ensemble, order: np.ndarray, rig: humans.Rig, people: Path, rng: np.random.Generator
) -> tuple[tuple, dict[int, tuple], dict[int, np.ndarray]]:
    """Points and colours of the whole scene, those of each player, and where each stands, by the player's number."""
    camera = draw_camera(rng)
    distance_m = DISTANCE_M + SPACING_M * len(order)
    camera = replace(camera, distance_m=distance_m, pixel_rad=PIXEL_RAD * ALONE_M / distance_m)
    meshes, places = [], {}
    for place, n in enumerate(order):
        body = humans.read_body(people / f"{ensemble.people[n]}.npy", rig)
        performer = musicians.draw_musician(ensemble.instruments[n], body, rng)
        shift = np.array([SPACING_M * (place - (len(order) - 1) / 2), 0.0, rng.uniform(-0.3, 0.3)])
        turned = bodies.place(performer)
        places[n] = turned.origin + shift
        mesh = musicians.playing(performer, body, rig, float(rng.uniform(0, 2)))
        meshes.append(solids.moved(mesh, Frame(places[n], turned.axes)))
    across = SPACING_M * (len(order) - 1) / 2 + FLOOR_MARGIN_M
    low, high = np.array([-across, 0.0, -1.5]), np.array([across, 0.0, 1.2])
    corners = np.array([[x, 0.0, z] for x in (low[0], high[0]) for z in (low[2], high[2])])
    floor = solids.solid(corners, np.array([[0, 1, 3], [0, 3, 2]]), np.full(3, FLOOR_GREY))
    ends = np.cumsum([len(mesh.triangles) for mesh in meshes])
    still = Frame(np.zeros(3), np.eye(3))
    xyz, rgb, triangle = photograph(solids.merge([*meshes, floor]), still, camera, rng, MOST_POINTS)
    owner = np.searchsorted(ends, triangle, side="right")  # the place of a player; the floor comes last
    strays = rng.uniform(low, high, (STRAYS, 3))
    strays[:, 1] = rng.uniform(*STRAY_HEIGHTS_M, STRAYS)
    strays = (np.rint(strays * 1000) / 1000).astype(np.float32)
    stray_colours = rng.integers(0, 256, (STRAYS, 3)).astype(np.uint8)
    clouds = {n: (xyz[owner == place], rgb[owner == place]) for place, n in enumerate(order)}
    return (np.concatenate([xyz, strays]), np.concatenate([rgb, stray_colours])), clouds, places


def _wav(samples: np.ndarray) -> bytes:
    """Samples [L, channels] int16 as a WAV file."""
    file = BytesIO()
    soundfile.write(file, samples, sounds.PLAYED_HZ, format="WAV", subtype="PCM_16")
    return file.getvalue()
