"""The SoundFonts that notes come from: which split plays which, where they are, and how they are fetched."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from utils.errors import InputError
from utils.files import replacing, words_of


@dataclass(frozen=True)
class Font:
    """A Debian package with recorded notes: its version, the file or folder that it installs, the SHA-256 of the file
    (of a folder: of its patches in order) and its licence."""

    package: str
    version: str
    installed: str
    sha256: str
    licence: str


FONTS = {
    "fluid": Font(
        "fluid-soundfont-gm",
        "3.1-5.3",
        "usr/share/sounds/sf2/FluidR3_GM.sf2",
        "74594e8f4250680adf590507a306655a299935343583256f3b722c48a1bc1cb0",
        "MIT, Frank Wen and others",
    ),
    "timgm": Font(
        "timgm6mb-soundfont",
        "1.3-5",
        "usr/share/sounds/sf2/TimGM6mb.sf2",
        "c5378b62028c920cb11e4803327983fee2f2cdff5dc89c708e39da417e51c854",
        "GPL-2, Tim Brechbill",
    ),
    "musescore": Font(
        "musescore-general-soundfont",
        "0.2.1-1",
        "usr/share/sounds/sf3/MuseScore_General_Full.sf3",
        "f9a37b36655f23e167c66ec91bef6097c8e99be29286219a54062919eb41aeae",
        "MIT, S. Christian Collins; the basses are of VSCO 2 CE, CC0",
    ),
    "freepats": Font(
        "freepats",
        "20060219-4",
        "usr/share/midi/freepats",
        "623814f77431f9139c178544e5160d75b62d80cd4556ea3377590269002ae491",
        "GPL-2 or later, with the exception that music made of it is not covered",
    ),
}


@dataclass(frozen=True)
class Voice:
    """One instrument of a font: bank and preset, and whether its notes are plucked."""

    font: str
    bank: int
    preset: int
    plucked: bool = False


# No recording is heard in two splits. Much of MuseScore's font is Fluid's: the notes of its contrabass correlate with
# those of Fluid to 1.00, and its violin, guitars and saxophones bear the names of Fluid's. Only its cello and its
# section of basses are taken, which have nothing in common with Fluid. The same comparison found nothing in common
# between Fluid, TimGM6mb and the patches of FreePats that are taken here.
VOICES = {
    "train": {
        "cello": (Voice("fluid", 0, 42),),
        "doublebass": (Voice("fluid", 0, 43), Voice("fluid", 0, 32, plucked=True)),
        "guitar": (Voice("fluid", 0, 24, plucked=True), Voice("fluid", 0, 25, plucked=True)),
        "saxophone": (Voice("fluid", 0, 65), Voice("fluid", 0, 66)),
        "violin": (Voice("fluid", 0, 40),),
    },
    "val": {
        "cello": (Voice("timgm", 0, 42),),
        "doublebass": (Voice("timgm", 0, 43), Voice("timgm", 0, 32, plucked=True)),
        "guitar": (Voice("timgm", 0, 24, plucked=True), Voice("timgm", 0, 25, plucked=True)),
        "saxophone": (Voice("timgm", 0, 65), Voice("timgm", 0, 66)),
        "violin": (Voice("timgm", 0, 40),),
    },
    "test": {
        "cello": (Voice("musescore", 0, 42),),
        "doublebass": (Voice("musescore", 50, 49), Voice("musescore", 50, 45, plucked=True)),
        "guitar": (Voice("freepats", 0, 24, plucked=True), Voice("freepats", 0, 25, plucked=True)),
        "saxophone": (Voice("freepats", 0, 65), Voice("freepats", 0, 66)),
        "violin": (Voice("freepats", 0, 40),),
    },
}
PATCHES = {24: "024_Nylon_Guitar", 25: "025_Steel_Guitar", 40: "040_Violin", 65: "065_Alto_Sax", 66: "066_Tenor_Sax"}


def find_fonts(names: set[str], named: Path | None, cache: Path) -> dict[str, Path]:
    """Where each font is: in the folder `named`, where Debian installs it, or in `cache`, where it is fetched to.

    Raises:
        InputError: a font cannot be had, or is of another version.
    """
    return {name: _find(FONTS[name], named, cache) for name in sorted(names)}


def _find(font: Font, named: Path | None, cache: Path) -> Path:
    file = Path(font.installed)
    places = [named / file, named / file.name] if named else [Path("/") / file, cache / font.package / file.name]
    found = next((place for place in places if place.exists()), None)
    if found is None and named:
        raise InputError(f"--soundfont: {named} holds no {file.name}, which the Debian package {font.package} installs")
    if found is None:
        found = places[-1]
        _fetch(font, found)
    if digest(found) != font.sha256:
        raise InputError(
            f"{found}: not the {file.name} of {font.package} {font.version}; remove it, or name another folder"
        )
    return found


def _fetch(font: Font, place: Path) -> None:
    """Downloads the package and unpacks it, which needs no root."""
    how = f"install it (sudo apt-get install {font.package}), or name a folder that holds {place.name} by --soundfont"
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise InputError(f"no SoundFont {place.name}, and no apt-get to fetch it; {how}")
    print(f"fetching {font.package}", flush=True)
    with TemporaryDirectory() as folder:
        commands = [
            ["apt-get", "download", "-q", font.package],
            ["sh", "-c", f"exec dpkg-deb -x {font.package}_*.deb unpacked"],
        ]
        for command in commands:
            ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if ended.returncode:
                said = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise InputError(f"{font.package} cannot be fetched ({said}); {how}")
        source = Path(folder, "unpacked", font.installed)
        for path in sorted(source.rglob("*.pat")) if source.is_dir() else [source]:
            target = place / path.relative_to(source) if source.is_dir() else place
            with replacing(target) as temporary:
                shutil.copyfile(path, temporary)


def digest(path: Path) -> str:
    """SHA-256 of a font: of a file, or of the patches taken from a folder."""
    found = hashlib.sha256()
    try:
        for part in [patch_path(path, preset) for preset in sorted(PATCHES)] if path.is_dir() else [path]:
            with open(part, "rb") as file:
                while block := file.read(2**20):
                    found.update(block)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({words_of(error)})") from error
    return found.hexdigest()


def patch_path(folder: Path, preset: int) -> Path:
    """The patch of FreePats that plays a preset."""
    return folder / "Tone_000" / f"{PATCHES[preset]}.pat"
