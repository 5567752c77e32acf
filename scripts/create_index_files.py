"""Index files: recordings paired with performers of the same instrument, both split into three parts."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse
import re

from dataset.folders import LeftOut, count_frames, find_recordings, subfolders
from dataset.index import IndexRow, instrument_name, write_indexes
from utils.errors import InputError, run_command
from utils.options import ArgumentParser, switch, whole
from utils.seeding import generator

SPLITS = ("train", "val", "test")
TRAIN_ENDS, VAL_ENDS = 0.75, 0.9  # of each instrument's recordings, rounded down
LAST_PERFORMER = {"train": 9, "val": 11, "test": 13}  # by number, of all instruments but the cello
LAST_CELLIST = {"train": 8, "val": 9, "test": 10}
PUBLISHED, BY_SHARE = "published", "performers"  # ways to split


def split_recordings(paths: list[Path], seed: int) -> dict[str, list[Path]]:
    """Shuffles sorted recordings and splits them 75 / 15 / 10 %, as the reference rounds."""
    paths = sorted(paths)
    shuffled = [paths[i] for i in generator(seed).permutation(len(paths))]
    train, val = int(len(paths) * TRAIN_ENDS), int(len(paths) * VAL_ENDS)
    return {"train": shuffled[:train], "val": shuffled[train:val], "test": shuffled[val:]}


def split_by_share(paths: list[Path], seed: int) -> dict[str, list[Path]]:
    """As `split_recordings`, but of three or more every part gets one."""
    parts = split_recordings(paths, seed)
    shuffled = [path for part in parts.values() for path in part]
    train = max(0, min(len(parts["train"]), len(paths) - 2))
    val = max(0, min(max(train + 1, len(paths) - len(parts["test"])), len(paths) - 1))
    return {"train": shuffled[:train], "val": shuffled[train:val], "test": shuffled[val:]}


def split_performers(folders: list[Path], instrument: str) -> dict[str, list[Path]]:
    """Splits folders `person_<k>` by their number."""
    last = last_performers(instrument)
    performers: dict[str, list[Path]] = {"train": [], "val": [], "test": []}
    for folder in sorted(folders, key=_performer_number):
        split = next((name for name in performers if _performer_number(folder) <= last[name]), None)
        if split:
            performers[split].append(folder)
    return performers


def last_performers(instrument: str) -> dict[str, int]:
    """The last number of a performer in each list of the published split."""
    return LAST_CELLIST if instrument == "cello" else LAST_PERFORMER


def _performer_number(folder: Path) -> int:
    return int(re.fullmatch(r"person_(\d+)", folder.name)[1])


def create_rows(
    root_audio: Path,
    root_frame: Path,
    seed: int,
    left_out: LeftOut | None = None,
    renumber: bool = False,
    split: str = PUBLISHED,
) -> dict[str, list[IndexRow]]:
    """Rows of the three lists; each recording goes with its split's performers in turn.

    Args:
        left_out: takes note of what is in no list.
        renumber: rename frames that are not numbered from 00000 without a gap.
        split: PUBLISHED: performers by their numbers; BY_SHARE: performers of any name, as recordings are, by the seed.

    Raises:
        InputError: a folder is missing, or an instrument lacks recordings or performers for a split.
    """
    left_out = LeftOut() if left_out is None else left_out
    rows: dict[str, list[IndexRow]] = {name: [] for name in SPLITS}
    frames = _by_instrument(subfolders(root_frame, left_out))
    for number, (instrument, audio_folder) in enumerate(_by_instrument(subfolders(root_audio, left_out)).items()):
        if instrument not in frames:
            raise InputError(f"{audio_folder}: no folder of this instrument in {root_frame}")
        paths = find_recordings(audio_folder, left_out)
        if split == BY_SHARE:
            performers = split_by_share(subfolders(frames[instrument], left_out), seed + number)
            parts = split_by_share(paths, seed + number)
        else:
            performers = split_performers(_performers(frames[instrument], left_out), instrument)
            parts = split_recordings(paths, seed + number)
        counts = {folder: count_frames(folder, renumber) for part in performers.values() for folder in part}
        for name, recordings in parts.items():
            if not recordings:
                raise InputError(f"{instrument}: not enough recordings in {audio_folder} for the {name} list")
            if not performers[name]:
                advice = f"; {_numbers(instrument)}" if split == PUBLISHED else ", of three or more"
                raise InputError(
                    f"{instrument}: not enough performers in {frames[instrument]} for the {name} list{advice}"
                )
            for turn, path in enumerate(recordings):
                folder = performers[name][turn % len(performers[name])]
                rows[name].append(IndexRow(_written(path), _written(folder), counts[folder]))
    return rows


def _numbers(instrument: str) -> str:
    """Which performers the published split has in which list, and the way out."""
    train, val, test = last_performers(instrument).values()
    return (
        f"their numbers decide, person_1 to {train} train, to {val} val, to {test} test; "
        f"--split {BY_SHARE} goes by share instead"
    )


def _by_instrument(folders: list[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in folders:
        other = found.setdefault(instrument_name(folder.name), folder)
        if other != folder:
            raise InputError(f"{other} and {folder}: two folders of one instrument; join them")
    return found


def _performers(folder: Path, left_out: LeftOut) -> list[Path]:
    """Folders `person_<k>` of the published split."""
    last = last_performers(instrument_name(folder.name))["test"]
    performers = []
    for path in subfolders(folder, left_out):
        if not re.fullmatch(r"person_\d+", path.name):
            left_out.singly.append(f"{path}: not named person_<number>; --split {BY_SHARE} takes any name")
        elif _performer_number(path) > last:
            left_out.singly.append(f"{path}: beyond the published split, which ends with person_{last}")
        else:
            performers.append(path)
    return performers


def _written(path: Path) -> str:
    """Relative paths start with ./ as in the published index files."""
    return str(path) if path.is_absolute() else f"./{path.as_posix()}"


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--root_audio", type=Path, default=Path("./data/audio"), help="folders of recordings")
    parser.add_argument("--root_frame", type=Path, default=Path("./data/frames"), help="folders of performers")
    parser.add_argument("--path_output", type=Path, default=Path("./data"), help="where the three lists go")
    parser.add_argument("--seed", type=whole(0), default=1234, help="seed for shuffling the recordings")
    parser.add_argument(
        "--split",
        default=PUBLISHED,
        choices=[PUBLISHED, BY_SHARE],
        help=f"{PUBLISHED}: performers by their numbers, as in the paper; {BY_SHARE}: those of any name by share, "
        "75 / 15 / 10 %%, at least one each, and so the recordings",
    )
    parser.add_argument(
        "--renumber_frames", type=switch, default=0, help="1: rename frames to 00000.ply, 00001.ply ..."
    )
    options = parser.parse_args()
    left_out = LeftOut()
    rows = create_rows(
        *(options.root_audio, options.root_frame, options.seed, left_out, options.renumber_frames, options.split)
    )
    lists = {options.path_output / f"{name}.csv": part for name, part in rows.items()}
    write_indexes(lists)
    for path, part in lists.items():
        print(f"{path}: {len(part)} recordings")
    for line in left_out.lines():
        print(line)
    print(f"{sum(map(len, rows.values()))} recordings in the lists, {left_out.count()} files and folders left out")


if __name__ == "__main__":
    run_command(main)
