"""Makes an ensemble of the demo's unseen performers: one capture of all of them, and the recording they play.

    python scripts/make_demo_scene.py --data data/demo --output data/demo/scene

writes scene.ply (musicians side by side on a floor, with stray points), mixture.wav (stereo, 44.1 kHz, each panned to
where it stands), stems/<instrument>.wav, what each of them plays in it, and names.txt, the instruments from left to
right.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse

import numpy as np

from dataset.audio import read_window, recording_length, recording_rate
from dataset.index import IndexRow, read_index
from dataset.points import ply_bytes, read_cloud
from utils.errors import InputError, run_command
from utils.files import open_text, replacing, words_of
from utils.options import ArgumentParser, real, whole
from utils.resampling import resample
from utils.seeding import generator
from utils.sound_files import writing_sound

RATE_HZ = 44_100
FLOOR_POINTS_PER_M2, FLOOR_NOISE_M, FLOOR_MARGIN_M = 1500, 0.004, 1.0
MOST_FLOOR_POINTS = 10**7
STRAYS, STRAY_HEIGHTS_M = 60, (0.3, 2.5)
NAMES = "names.txt"
PAN = 0.6  # of the outermost musicians, 1 is one loudspeaker alone


def main() -> None:
    options = parse_arguments()
    rows = choose_rows(options.data / "test.csv", options.num_sources)
    rng = generator(options.seed)
    rng.shuffle(rows)
    places = options.spacing * (np.arange(len(rows)) - (len(rows) - 1) / 2)  # x in metres, from left to right
    scene = build_scene(rows, places, rng)
    with replacing(options.output / "scene.ply") as temporary:
        temporary.write_bytes(ply_bytes(*scene))
    sides = np.linspace(-1, 1, len(rows)) if len(rows) > 1 else [0.0]  # from left to right
    waves = [np.stack(pan(read_recording(row), side)) for row, side in zip(rows, sides, strict=True)]
    length = min(wave.shape[1] for wave in waves)
    stems = [wave[:, :length] / len(waves) for wave in waves]
    write_wave(options.output / "mixture.wav", np.sum(stems, axis=0))
    for name in earlier_names(options.output / NAMES):
        (options.output / "stems" / f"{name}.wav").unlink(missing_ok=True)
    for row, stem in zip(rows, stems, strict=True):
        write_wave(options.output / "stems" / f"{row.instrument}.wav", stem)
    names = " ".join(row.instrument for row in rows)
    with replacing(options.output / NAMES) as temporary:
        temporary.write_text(names + "\n")
    print(f"{options.output}: {names}, {length / RATE_HZ:.1f} s")


def choose_rows(index: Path, count: int) -> list[IndexRow]:
    """The first rows of different instruments, evenly picked; raises InputError if there are too few."""
    first = {row.instrument: row for row in reversed(read_index(index))}
    if len(first) < count:
        raise InputError(f"{index}: {len(first)} instruments, not {count}; lower --num_sources")
    instruments = sorted(first)
    return [first[instruments[n]] for n in np.linspace(0, len(first) - 1, count).round().astype(int)]


def earlier_names(path: Path) -> list[str]:
    """The instruments of the ensemble that stood there before; no others' stems are removed."""
    try:
        with open_text(path) as file:
            return [name for name in file.read().split() if name == Path(name).name]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({words_of(error)})") from error


def build_scene(rows: list[IndexRow], places: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points `[P, 3]` in metres and colours `[P, 3]` in 0..1 of a frame of each performer, a floor, and strays."""
    clouds = [read_cloud(row.frame_path(int(rng.integers(row.num_frames)))) for row in rows]
    without = [row for row, (_, colours) in zip(rows, clouds, strict=True) if colours is None]
    if without:
        raise InputError(f"{without[0].frames_path}: clouds without colours, which a scene needs")
    xyz = [points + (place, 0, rng.uniform(-0.3, 0.3)) for (points, _), place in zip(clouds, places, strict=True)]
    rgb = [colours for _, colours in clouds]
    low, high = np.concatenate(xyz).min(axis=0) - FLOOR_MARGIN_M, np.concatenate(xyz).max(axis=0) + FLOOR_MARGIN_M
    area_m2 = (high[0] - low[0]) * (high[2] - low[2])
    if area_m2 * FLOOR_POINTS_PER_M2 > MOST_FLOOR_POINTS:
        raise InputError(f"a floor of {area_m2:.3g} square metres: are the clouds in metres?")
    count = int(area_m2 * FLOOR_POINTS_PER_M2)
    floor = rng.uniform(low, high, (count, 3))
    floor[:, 1] = rng.normal(0, FLOOR_NOISE_M, count)
    strays = rng.uniform(low, high, (STRAYS, 3))
    strays[:, 1] = rng.uniform(*STRAY_HEIGHTS_M, STRAYS)
    rgb += [np.full((count, 3), 0.45) + rng.normal(0, 0.03, (count, 1)), rng.random((STRAYS, 3))]
    return np.concatenate([*xyz, floor, strays]), np.concatenate(rgb).clip(0, 1).astype(np.float32)


def read_recording(row: IndexRow) -> np.ndarray:
    """The whole recording, mono `[L]`, at `RATE_HZ`."""
    own_hz = recording_rate(row.audio_path)
    wave = read_window(row.audio_path, 0, recording_length(row.audio_path, own_hz), own_hz)
    return np.concatenate(list(resample([wave[None]], own_hz, RATE_HZ)), axis=-1)[0]


def pan(wave: np.ndarray, place: float) -> tuple[np.ndarray, np.ndarray]:
    """Left and right channel `[L]` of a source at -1 (left) to 1, of the same sum wherever it is."""
    right = (1 + PAN * place) / 2
    return 2 * (1 - right) * wave, 2 * right * wave


def write_wave(path: Path, samples: np.ndarray) -> None:
    with writing_sound(path, RATE_HZ, *samples.shape) as append:
        append(samples)


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, default=Path("data/demo"), help="folder with the demo's test.csv (default: data/demo)")
    add("--output", type=Path, default=Path("data/demo/scene"), help="folder to write to (default: data/demo/scene)")
    add("--num_sources", type=whole(1), default=3, help="musicians (default: 3)")
    add("--spacing", type=real(0.5, 10), default=1.5, help="metres from one to the next (default: 1.5)")
    add("--seed", type=whole(0), default=0, help="of frames, order and strays (default: 0)")
    return parser.parse_args()


if __name__ == "__main__":
    run_command(main)
