"""Folders of recordings and performers in the published layout -> what index files can name, and what is left out."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from utils.errors import InputError
from utils.files import fault_of_folder, fault_of_name

AUDIO_SUFFIXES = (".mp3", ".wav", ".flac", ".ogg")
OTHER_FORMAT = f"not {' '.join(AUDIO_SUFFIXES)}; convert them with scripts/prepare_audio.py"
HIDDEN = (".", "__", "@")  # .ipynb_checkpoints, __MACOSX, @eaDir
FRAME = re.compile(r"(?:.*\D)?(\d+)\.ply", re.IGNORECASE)


@dataclass
class LeftOut:
    """What no list will name, and why: similar files of a folder, counted, and lines about single files."""

    alike: Counter = field(default_factory=Counter)
    singly: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """A line for each kind of file, and one for each single file."""
        counted = [f"{folder}: {count} file(s) {kind}" for (folder, kind), count in sorted(self.alike.items())]
        return [f"left out: {' '.join(line.split())}" for line in counted + self.singly]

    def count(self) -> int:
        """How many files and folders are left out."""
        return self.alike.total() + len(self.singly)


def subfolders(root: Path, left_out: LeftOut) -> list[Path]:
    """The folders in `root`, without hidden ones.

    Raises:
        InputError: there is no such folder, or it holds none.
    """
    if fault := fault_of_folder(root):
        raise InputError(f"{root}: {fault}; expected one folder for each instrument in it")
    folders = []
    for path in sorted(root.iterdir()):
        if path.is_dir() and path.name.startswith(HIDDEN):
            left_out.singly.append(f"{path}: a hidden folder")
        elif path.is_dir() and (fault := fault_of_name(path.name)):
            left_out.singly.append(f"{path}: {fault}")
        elif path.is_dir():
            folders.append(path)
    if not folders:
        raise InputError(f"{root}: holds no folders")
    return folders


def find_recordings(folder: Path, left_out: LeftOut) -> list[Path]:
    """The recordings in an instrument's folder, one of each name: a name is an id, and one id is one recording."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):  # hidden, or half written
            left_out.alike[folder, "that are hidden"] += 1
        elif path.is_dir():
            left_out.singly.append(f"{path}: a folder; recordings lie directly in that of their instrument")
        elif path.suffix.lower() not in AUDIO_SUFFIXES:
            shown = f"*{path.suffix.lower()}" if path.suffix else "without an ending"
            left_out.alike[folder, f"{shown}: {OTHER_FORMAT}"] += 1
        elif fault := fault_of_name(path.name):
            left_out.singly.append(f"{path}: {fault}")
        elif path.stem in found:
            left_out.singly.append(f"{path}: of the same name as {found[path.stem]}, which is taken")
        else:
            found[path.stem] = path
    return list(found.values())


def count_frames(folder: Path, renumber: bool = False) -> int:
    """The number of frames `00000.ply, 00001.ply ...` of a performer.

    Args:
        renumber: rename frames that are numbered differently, keeping their order.

    Raises:
        InputError: there are none, or they are numbered differently.
    """
    numbered: dict[int, str] = {}
    for entry in os.scandir(folder):
        match = FRAME.fullmatch(entry.name)
        if match and not entry.name.startswith("."):
            other = numbered.setdefault(int(match[1]), entry.name)
            if other != entry.name:
                raise InputError(f"{folder}: {other} and {entry.name} are frames of one number; remove one of them")
    if not numbered:
        raise InputError(f"{folder}: holds no frames 00000.ply, 00001.ply ...")
    names = [numbered[number] for number in sorted(numbered)]
    for frame, name in enumerate(names):
        expected = f"{frame:05d}.ply"
        if name == expected:
            continue
        if not renumber:
            raise InputError(
                f"{folder}: frames must be named 00000.ply, 00001.ply ... without a gap, and {name} stands where "
                f"{expected} should; --renumber_frames 1 renames them in their order"
            )
        os.rename(folder / name, folder / expected)
    return len(names)
