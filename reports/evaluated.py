"""What an evaluation left in a run's folder -> what a page shows."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

from dataset.points import read_cloud
from reports.media import ticks_of_spectrogram, write_cloud_script, write_mp3
from reports.page import MINUS
from runs.results import INCOMPLETE
from runs.summary import MOST_DB, read_summary
from utils.cells import names_of
from utils.errors import InputError
from utils.files import check_run_folder, is_there, open_text, real_path, words_of
from utils.metrics import COLUMNS

MOST_SOURCES = 1000
MOST_RATE_HZ, MOST_SAMPLES = 384_000, 2**27  # as of the command line


@dataclass(frozen=True)
class Mixture:
    """One evaluated mixture.

    row: of `metrics.csv`. folder: its sounds and pictures, None if it was not drawn.
    """

    row: dict[str, str]
    folder: Path | None

    @property
    def index(self) -> int:
        return int(self.row["index"])

    @property
    def instruments(self) -> list[str]:
        return [self.row[f"instrument_{n}"] for n in self.sources]

    @property
    def sources(self) -> range:
        """Their numbers, from 1."""
        return range(1, int(self.row["num_sources"]) + 1)

    @property
    def recordings(self) -> str:
        return " + ".join(Path(self.row[f"audio_{n}"]).stem for n in self.sources)

    @property
    def made_of(self) -> tuple[str, ...]:
        """What was mixed. Mixtures of two evaluations are the same where this is the same."""
        parts = ("audio", "window_start", "frames_path", "frames")
        return tuple(self.row[f"{part}_{n}"] for n in self.sources for part in parts)

    def score(self, name: str) -> float | None:
        """None if the mixture could not be scored, or was evaluated before this score existed."""
        value = self.row.get(name, "")
        return float(value) if value else None

    def check(self) -> None:
        """Raises KeyError or ValueError if a column that a page shows is missing or not a number."""
        if None in self.row.values():
            raise ValueError("a row is cut short")
        if not 1 <= int(self.row["num_sources"]) <= MOST_SOURCES:
            raise ValueError(f"{self.row['num_sources']} sources")
        for name, most in (("rate_hz", MOST_RATE_HZ), ("window_samples", MOST_SAMPLES)):
            if not 1 <= int(self.row[name]) <= most:
                raise ValueError(f"{name} {self.row[name]}")
        _ = self.index, self.made_of, self.instruments
        of_sources = [f"{name}_{n}" for name in ("sdr", "sdr_mixture") for n in self.sources]
        for name in (*COLUMNS, *of_sources):
            value = self.score(name)
            if value is None and name in of_sources and self.score("sdr") is not None:
                raise ValueError(f"no {name}")
            if value is not None and not abs(value) <= MOST_DB:
                raise ValueError(f"{name} {value}")

    @property
    def improvement(self) -> float | None:
        """Of the SDR, in dB."""
        before, after = self.score("sdr_mixture"), self.score("sdr")
        return None if before is None or after is None else after - before


@dataclass(frozen=True)
class Evaluation:
    """The results in a run's folder. summary: `metrics.json`."""

    run: Path
    summary: dict
    mixtures: list[Mixture]

    @property
    def scored(self) -> list[Mixture]:
        return [mixture for mixture in self.mixtures if mixture.score("sdr") is not None]


def read_evaluation(run: Path) -> Evaluation:
    """Reads `metrics.json`, `metrics.csv` and the names in `visualization/` of a run.

    Raises:
        InputError: the run was never evaluated, or its results are damaged.
    """
    check_run_folder(run)
    if not is_there(run / "metrics.json"):
        raise InputError(f"{run}: holds no metrics.json of an evaluation; main.py --mode eval evaluates a run")
    if (run / INCOMPLETE).exists():
        raise InputError(f"{run}: an evaluation ended before all its results were written; evaluate the run again")
    summary, table = read_summary(run), run / "metrics.csv"
    folders = {int(path.name[:4]): path for path in (run / "visualization").glob("[0-9][0-9][0-9][0-9]_*")}
    try:
        with open_text(table) as file:
            mixtures = [Mixture(row, folders.get(int(row["index"]))) for row in map(names_of, csv.DictReader(file))]
        for mixture in mixtures:
            mixture.check()
    except OSError as error:
        raise InputError(f"{table}: cannot be read ({words_of(error)}); evaluate the run again") from error
    except (KeyError, ValueError, TypeError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: not the scores of an evaluation ({error}); evaluate the run again") from error
    return Evaluation(run, summary, mixtures)


def _refuse_links(folder: Path) -> None:
    """Raises InputError if a mixture's folder, or a file in it, is a link out of its run, because pages are given to
    others.
    """
    run = real_path(folder.parent.parent)
    for path in (folder, *folder.iterdir()):
        if not real_path(path).is_relative_to(run):
            raise InputError(f"{path}: is outside {run}; a page may use only the run's own files")


def write_media(page: Path, mixture: Mixture, estimates: dict[str, Path], summary: dict) -> dict:
    """Puts the sounds, pictures and clouds of a mixture into a page's folder and describes them for `page.js`.

    Args:
        estimates: name of a run, empty if there is only one run, -> the mixture's folder below its `visualization/`.
        summary: of the evaluation.

    Raises:
        InputError: a file of the mixture is missing or damaged.
    """
    place = f"mixtures/{mixture.index:04d}"
    (page / place).mkdir(parents=True)
    rate_hz, length = int(mixture.row["rate_hz"]), int(mixture.row["window_samples"])

    def sound(source: Path, name: str, label: str, picture: Path, note: str = "") -> dict:
        write_mp3(source, page / place / f"{name}.mp3")
        return {"label": label, "file": f"{place}/{name}.mp3", "image": image(picture, name), "note": note}

    def image(source: Path, name: str) -> str:
        shutil.copyfile(source, page / place / f"{name}.jpg")
        return f"{place}/{name}.jpg"

    for folder in estimates.values():
        _refuse_links(folder)
    first = next(iter(estimates.values()))
    mix = sound(first / "mix.wav", "mix", "mixture", first / "mix.jpg")
    groups = [{"label": "", "tracks": [mix], "masks": [], "clouds": []}]
    for n, instrument in zip(mixture.sources, mixture.instruments, strict=True):
        tracks, masks = [], []
        for number, (run, folder) in enumerate(estimates.items()):
            label, name = run or "separated", f"pred{n}_{number}"
            score = mixture.score(f"sdr_{n}") if not run else None
            note = "" if score is None else f"SDR {score:z.1f} dB".replace("-", MINUS)
            tracks.append(sound(folder / f"pred{n}.wav", name, label, folder / f"predamp{n}.jpg", note))
            picture = image(folder / f"predmask{n}.jpg", f"predmask{n}_{number}")
            masks.append({"label": f"mask, {label}", "image": picture})
        tracks.append(sound(first / f"gt{n}.wav", f"gt{n}", "truth", first / f"gtamp{n}.jpg"))
        masks.append({"label": "mask, truth", "image": image(first / f"gtmask{n}.jpg", f"gtmask{n}")})
        script = f"{place}/cloud{n}.js"
        write_cloud_script(page / script, script, *read_cloud(str(first / f"point{n}_frame1.ply")))
        clouds = [{"files": [script], "names": [instrument]}]
        groups.append({"label": instrument, "tracks": tracks, "masks": masks, "clouds": clouds})
    return {
        "seconds": length / rate_hz,
        "hz_ticks": ticks_of_spectrogram(rate_hz / 2, bool(summary.get("log_freq", 1))),
        "groups": groups,
    }
