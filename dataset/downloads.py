"""Folders of downloads -> the files in them that may hold sound, and what is left out, with the reasons."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from utils.errors import InputError
from utils.files import CONTROL, fault_of_file, fault_of_folder

SOUNDING = {  # endings of files that are tried first where several have one name
    *(".aac", ".aif", ".aiff", ".flac", ".m4a", ".mp2", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma"),
    *(".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv"),
}
WITHOUT_SOUND = {
    "a picture": "avif bmp gif heic ico jpeg jpg png psd svg tif tiff webp",
    "text": "csv description doc docx htm html ini json log md nfo odt pdf py rtf sh tsv txt url xml yaml yml",
    "subtitles or lyrics": "ass dfxp idx lrc sbv smi srt srv1 srv2 srv3 json3 ssa sub sup ttml vtt",
    "an unfinished download": "aria2 crdownload download part temp tmp ytdl",
    "a list of files": "asx cue m3u m3u8 pls torrent wpl xspf",
    "checksums": "ffp md5 sfv sha1 sha256 sha512 st5",
    "an archive": "7z bz2 gz rar tar tgz xz zip zst",
    "notes or numbers": "mat mid midi musicxml mxl npy npz pkl ply",
    "a database": "db sqlite",
}
REASONS = {f".{ending}": reason for reason, endings in WITHOUT_SOUND.items() for ending in endings.split()}


@dataclass
class Downloads:
    """Files that may hold sound, in order, and what is left out.

    alike: files of the same ending and reason, counted. singly: lines about single files or folders.
    """

    files: list[Path] = field(default_factory=list)
    alike: Counter = field(default_factory=Counter)
    singly: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Lines that say what is left out, and why."""
        counted = [f"{count} file(s) {name}: {reason}" for (name, reason), count in sorted(self.alike.items())]
        return [f"left out: {line}" for line in counted + self.singly]

    def count(self) -> int:
        """How many files and folders are left out."""
        return self.alike.total() + len(self.singly)


def find_downloads(inputs: list[Path], output: Path) -> Downloads:
    """The files among `inputs` and, at any depth, in the folders among them, except for those of `output`.

    A file that is itself among `inputs` is taken whatever its ending. Links to files and folders are followed.

    Raises:
        InputError: an input is missing or is `output`, or there is no file at all.
    """
    found, seen = Downloads(), {os.path.realpath(output)}
    for path in inputs:
        fault = fault_of_folder(path) if os.path.isdir(path) else fault_of_file(path)
        if fault:
            raise InputError(f"{path}: {'no such file or folder' if fault == 'no such file' else fault}")
        if not path.is_dir():
            found.files.append(path)
            continue
        if os.path.realpath(path) == os.path.realpath(output):
            raise InputError(f"{path}: is also --output; write to another folder")
        for file in _files_below(path, seen, found):
            reason = _without_sound(file)
            if reason:
                found.alike[".*" if reason == "hidden" else f"*{file.suffix.lower()}", reason] += 1
            elif not file.is_file():
                found.singly.append(f"{file}: a link to nothing" if file.is_symlink() else f"{file}: no file")
            else:
                found.files.append(file)
    found.files = list(dict.fromkeys(found.files))
    if not found.files:
        raise InputError(f"{', '.join(map(str, inputs))}: no audio or video file in there")
    return found


def _files_below(folder: Path, seen: set[str], found: Downloads) -> Iterator[Path]:
    """Files in order of their paths; a folder that several links lead to is read once."""

    def note(error: OSError) -> None:
        found.singly.append(f"{error.filename}: {error.strerror}")

    for root, folders, files in os.walk(folder, followlinks=True, onerror=note):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        found.singly += [f"{os.path.join(root, name)}: a hidden folder" for name in sorted(folders) if name[0] == "."]
        folders[:] = sorted(name for name in folders if name[0] != ".")
        yield from (Path(root, name) for name in sorted(files))


def _without_sound(file: Path) -> str:
    """The reason, by its name, not to try a file; downloads come with subtitles, thumbnails and descriptions."""
    if file.name.startswith("."):
        return "hidden"
    if file.suffix.lower().startswith(".part"):  # .part-Frag3
        return "an unfinished download"
    return REASONS.get(file.suffix.lower(), "")


def by_name(files: list[Path]) -> dict[str, list[Path]]:
    """Groups of files that have the same name except for folder and ending, because one id is one recording.

    Within a group, endings of audio and video files come first. In names that an index file cannot hold, `_` replaces
    what is not UTF-8 or would break a line.
    """
    groups: dict[str, list[Path]] = {}
    for file in files:
        name = os.fsencode(file.stem).decode(errors="replace").replace("\N{REPLACEMENT CHARACTER}", "_")
        name = CONTROL.sub("_", name)
        groups.setdefault(name, []).append(file)
    return {stem: sorted(group, key=lambda file: file.suffix.lower() not in SOUNDING) for stem, group in groups.items()}
