"""Index files of the published split: recordings paired with performers of the same instrument."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dataset.index import IndexRow, instrument_name, write_index  # noqa: E402
from utils.errors import InputError, run_command  # noqa: E402
from utils.options import ArgumentParser, whole  # noqa: E402
from utils.seeding import generator  # noqa: E402

AUDIO_SUFFIXES = (".mp3", ".wav", ".flac", ".ogg")
SPLITS = ("train", "val", "test")
TRAIN_ENDS, VAL_ENDS = 0.75, 0.9  # of each instrument's recordings, rounded down
LAST_PERFORMER = {"train": 9, "val": 11, "test": 13}  # by number, of all instruments but the cello
LAST_CELLIST = {"train": 8, "val": 9, "test": 10}


def split_recordings(paths: list[Path], seed: int) -> dict[str, list[Path]]:
    """Shuffles sorted recordings and splits them 75 / 15 / 10 %, as the reference rounds."""
    paths = sorted(paths)
    shuffled = [paths[i] for i in generator(seed).permutation(len(paths))]
    train, val = int(len(paths) * TRAIN_ENDS), int(len(paths) * VAL_ENDS)
    return {"train": shuffled[:train], "val": shuffled[train:val], "test": shuffled[val:]}


def split_performers(folders: list[Path], instrument: str) -> dict[str, list[Path]]:
    """Splits folders `person_<k>` by their number."""
    last = LAST_CELLIST if instrument == "cello" else LAST_PERFORMER
    performers: dict[str, list[Path]] = {"train": [], "val": [], "test": []}
    for folder in sorted(folders, key=_performer_number):
        split = next((name for name in performers if _performer_number(folder) <= last[name]), None)
        if split:
            performers[split].append(folder)
    return performers


def _performer_number(folder: Path) -> int:
    return int(re.fullmatch(r"person_(\d+)", folder.name)[1])


def count_frames(folder: Path) -> int:
    """Frames `00000.ply, 00001.ply ...` of a performer, which must be numbered without a gap.

    Raises:
        InputError: there are none, or one is missing.
    """
    present = {entry.name for entry in os.scandir(folder) if re.fullmatch(r"\d{5}\.ply", entry.name)}
    if not present:
        raise InputError(f"{folder}: holds no frames 00000.ply, 00001.ply ...")
    missing = next((name for name in (f"{k:05d}.ply" for k in range(len(present))) if name not in present), None)
    if missing:
        raise InputError(f"{folder / missing}: missing; frames must be numbered from 00000 without a gap")
    return len(present)


def create_rows(root_audio: Path, root_frame: Path, seed: int) -> dict[str, list[IndexRow]]:
    """Rows of the three lists; each recording goes with its split's performers in turn.

    Raises:
        InputError: a folder is missing, or an instrument lacks recordings or performers for a split.
    """
    rows: dict[str, list[IndexRow]] = {name: [] for name in SPLITS}
    frames: dict[str, Path] = {}
    for folder in _folders(root_frame):
        other = frames.setdefault(instrument_name(folder.name), folder)
        if other != folder:
            raise InputError(f"{other} and {folder}: two folders of one instrument; join them")
    for number, audio_folder in enumerate(_folders(root_audio)):
        instrument = instrument_name(audio_folder.name)
        if instrument not in frames:
            raise InputError(f"{audio_folder}: no folder of this instrument in {root_frame}")
        folders = [folder for folder in _folders(frames[instrument]) if re.fullmatch(r"person_\d+", folder.name)]
        performers = split_performers(folders, instrument)
        unused = len(folders) - sum(map(len, performers.values()))
        if unused:
            print(f"{frames[instrument]}: {unused} performer(s) beyond the published split are in no list")
        visible = (path for path in audio_folder.iterdir() if not path.name.startswith("."))  # nor half written
        paths = [path for path in visible if path.suffix.lower() in AUDIO_SUFFIXES]
        counts = {folder: count_frames(folder) for split in performers.values() for folder in split}
        for name, recordings in split_recordings(paths, seed + number).items():
            if not recordings or not performers[name]:
                lacking = f"recordings in {audio_folder}" if not recordings else f"performers in {frames[instrument]}"
                raise InputError(f"{instrument}: not enough {lacking} for the {name} list")
            for turn, path in enumerate(recordings):
                folder = performers[name][turn % len(performers[name])]
                rows[name].append(IndexRow(_written(path), _written(folder), counts[folder]))
    return rows


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected one folder for each instrument in it")
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    if not folders:
        raise InputError(f"{root}: holds no folders")
    return folders


def _written(path: Path) -> str:
    """Relative paths start with ./ as in the published index files."""
    return str(path) if path.is_absolute() else f"./{path.as_posix()}"


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--root_audio", type=Path, default=Path("./data/audio"), help="folders of recordings")
    parser.add_argument("--root_frame", type=Path, default=Path("./data/frames"), help="folders of performers")
    parser.add_argument("--path_output", type=Path, default=Path("./data"), help="where the three lists go")
    parser.add_argument("--seed", type=whole(0), default=1234, help="of the shuffle of recordings")
    options = parser.parse_args()
    rows = create_rows(options.root_audio, options.root_frame, options.seed)
    for name, part in rows.items():
        write_index(options.path_output / f"{name}.csv", part)
        print(f"{options.path_output / f'{name}.csv'}: {len(part)} recordings")


if __name__ == "__main__":
    run_command(main)
