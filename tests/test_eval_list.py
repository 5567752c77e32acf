"""Evaluation lists: metrics.csv says exactly what was heard, and can be heard again."""

from __future__ import annotations

import csv

import pytest

from dataset.eval_list import describe, read_eval_list
from dataset.index import IndexRow
from dataset.music import SourceDraw
from dataset.settings import Window
from utils.errors import InputError

WINDOW = Window(4095, 8000)
SIZES = {"num_mix": 2, "num_frames": 3, "window": WINDOW}
DRAWS = [
    SourceDraw(IndexRow("audio/cello/a b.mp3", "frames/cello/person_1", 9, "x:1"), 17, (1, 4, 7)),
    SourceDraw(IndexRow('audio/sax/\u00e9, "1".wav', "frames/sax/person_2", 30, "x:2"), 0, (0, 1, 2)),
]


def write(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_what_is_described_is_read_back(tmp_path):
    path = write(tmp_path / "list.csv", [describe(DRAWS, WINDOW), describe(DRAWS[::-1], WINDOW)])
    mixtures = read_eval_list(path, **SIZES)
    for found, expected in zip(mixtures, (DRAWS, DRAWS[::-1]), strict=True):
        for draw, same in zip(found, expected, strict=True):
            assert draw.row.audio_path == same.row.audio_path and draw.row.frames_path == same.row.frames_path
            assert (draw.window_start, draw.frames) == (same.window_start, same.frames)
    assert mixtures[1][0].row.origin == f"{path}:3" and mixtures[0][1].row.instrument == "saxophone"


def test_instruments_are_those_that_the_list_names(tmp_path):
    """Whatever the folder is called; a list that names none has them from the folders."""
    row = describe(DRAWS, WINDOW) | {"instrument_1": "viola", "instrument_2": ""}
    ((first, second),) = read_eval_list(write(tmp_path / "list.csv", [row]), **SIZES)
    assert (first.row.instrument, second.row.instrument) == ("viola", "saxophone")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_sources": 3}, r"list.csv:2: num_sources is 3, but --num_mix is 2"),
        ({"window_samples": 99}, "window_samples is 99, but --audLen is 4095"),
        ({"rate_hz": 11025}, "rate_hz is 11025, but --audRate is 8000"),
        ({"frames_2": "1 2"}, r"frames_2 holds 2 frame\(s\), but --num_frames is 3"),
        ({"frames_1": "1 2 x"}, "not a row of an evaluation list"),
        ({"window_start_1": ""}, "not a row of an evaluation list"),
    ],
)
def test_lists_that_do_not_fit(tmp_path, change, message):
    path = write(tmp_path / "list.csv", [describe(DRAWS, WINDOW) | change])
    with pytest.raises(InputError, match=message):
        read_eval_list(path, **SIZES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "lists no mixtures"),
        ("num_sources\n", "lists no mixtures"),
        ("a,b,c\n1,2,3\n", "no column 'num_sources'"),
        (b"\xff\xfe\x00", "not a CSV text file"),
    ],
)
def test_files_that_are_no_lists(tmp_path, content, message):
    path = tmp_path / "list.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        read_eval_list(path, **SIZES)


def test_a_list_that_is_missing(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: cannot be read"):
        read_eval_list(tmp_path / "none.csv", **SIZES)
