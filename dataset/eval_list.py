"""Evaluation lists: the exact mixtures of an earlier evaluation, read from its `metrics.csv`."""

from __future__ import annotations

import csv
from pathlib import Path

from dataset.index import IndexRow
from dataset.music import SourceDraw
from dataset.settings import Window
from utils.cells import names_of
from utils.errors import InputError
from utils.files import open_text, words_of

LAST_START = 2**40  # samples: far beyond any recording, and small enough to count from


def describe(draws: list[SourceDraw], window: Window) -> dict:
    """What a mixture is made of, as columns of `metrics.csv`; sources are numbered from 1."""
    row: dict = {"window_samples": window.length, "rate_hz": window.rate_hz, "num_sources": len(draws)}
    for n, draw in enumerate(draws, 1):
        row |= {f"instrument_{n}": draw.row.instrument, f"audio_{n}": draw.row.audio_path}
        row |= {f"window_start_{n}": draw.window_start, f"frames_path_{n}": draw.row.frames_path}
        row |= {f"frames_{n}": " ".join(map(str, draw.frames))}
    return row


def read_eval_list(path: str | Path, *, num_mix: int, num_frames: int, window: Window) -> list[list[SourceDraw]]:
    """The mixtures of a `metrics.csv`, or of any CSV file with the columns that `describe` makes; the inverse of
    `describe`.

    Raises:
        InputError: the file is missing, not such a list or empty, or was made with another number of sources or frames,
            another window or rate. The message names file and line.
    """
    try:
        with open_text(path) as file:
            reader = csv.DictReader(file, strict=True)
            lines = [(f"{path}:{reader.line_num}", names_of(row)) for row in reader]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({words_of(error)})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV text file ({error})") from error
    if not lines:
        raise InputError(f"{path}: lists no mixtures; the metrics.csv of an evaluation is such a list")
    expected = {"num_sources": num_mix, "window_samples": window.length, "rate_hz": window.rate_hz}
    return [_parse_mixture(row, origin, expected, num_frames) for origin, row in lines]


def _parse_mixture(row: dict[str, str], origin: str, expected: dict[str, int], num_frames: int) -> list[SourceDraw]:
    options = {"num_sources": "--num_mix", "window_samples": "--audLen", "rate_hz": "--audRate"}
    try:
        for column, value in expected.items():
            if int(row[column]) != value:
                raise InputError(f"{origin}: {column} is {row[column]}, but {options[column]} is {value}")
        draws = []
        for n in range(1, expected["num_sources"] + 1):
            frames = tuple(map(int, row[f"frames_{n}"].split()))
            if len(frames) != num_frames:
                raise InputError(f"{origin}: frames_{n} holds {len(frames)} frame(s), but --num_frames is {num_frames}")
            source = IndexRow(
                row[f"audio_{n}"], row[f"frames_path_{n}"], max(frames) + 1, origin, row.get(f"instrument_{n}") or ""
            )
            start = int(row[f"window_start_{n}"])
            if not 0 <= start <= LAST_START:
                raise InputError(f"{origin}: window_start_{n} is {start}, expected 0 to {LAST_START}")
            draws.append(SourceDraw(source, start, frames))
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        column = f"no column {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{origin}: not a row of an evaluation list ({column}); see metrics.csv of a run") from error
    return draws
