"""Index files: what they may look like, and the line that says what is wrong with one."""

from __future__ import annotations

import os

import numpy as np
import pytest
from conftest import write_cloud

from dataset.index import IndexRow, instrument_name, read_index, write_index
from utils.errors import InputError


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A recording and three frames, in a folder with a space and an umlaut."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "audio" / "cello"
    folder.mkdir(parents=True)
    (folder / "Stück 1.mp3").write_bytes(b"")
    for frame in range(3):
        write_cloud(tmp_path / "data" / "frames" / "cello" / "person_1" / f"{frame:05d}.ply", np.zeros((2, 3)))
    return tmp_path


ROW = "./data/audio/cello/Stück 1.mp3,./data/frames/cello/person_1,3"


@pytest.mark.parametrize(
    "text",
    [
        ROW + "\n",
        "\ufeff" + ROW + "\r\n",
        "\n\n" + ROW + "\n\n  \n",
        ROW.replace(",", " , "),
        ",".join(f'"{field}"' for field in ROW.split(",")),
    ],
)
def test_accepted_forms(tree, text):
    (tree / "train.csv").write_text(text, encoding="utf-8", newline="")
    (row,) = read_index("train.csv")
    assert (row.audio_path, row.frames_path, row.num_frames) == tuple(ROW.split(",")[:2]) + (3,)
    assert row.instrument == "cello"
    assert row.frame_path(2).endswith("person_1/00002.ply") and os.path.exists(row.frame_path(2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "train.csv: the list is empty"),
        ("\n \n", "train.csv: the list is empty"),
        (ROW + "\n./data/audio/cello\n", r"train.csv:2: .*found 1 column"),
        (ROW + ",4\n", r"train.csv:1: .*found 4 column"),
        (
            ROW + '\n"' + ROW + "\n" + ROW + "\n",
            r"train.csv:2: .* CSV file \(a quotation mark is not closed",
        ),
        (ROW[:-1] + "-3", "train.csv:1: the number of frames is '-3'"),
        (ROW[:-1] + "0", "train.csv:1: the number of frames is '0'"),
        (ROW[:-1] + "many", "train.csv:1: the number of frames is 'many'"),
        (ROW[:-1] + "4", r"train.csv:1: says 4 frames, but .*00003.ply does not exist"),
        (ROW.replace("Stück", "Stueck"), "train.csv:1: recording .*Stueck 1.mp3 does not exist"),
        (ROW.replace("person_1", "person_2"), "train.csv:1: folder .*person_2 does not exist"),
    ],
)
def test_lines_that_are_wrong(tree, text, message):
    (tree / "train.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message) as error:
        read_index("train.csv")
    assert "\n" not in str(error.value)


def test_files_that_are_no_list(tree):
    with pytest.raises(InputError, match="nowhere.csv: cannot be read.*create_index_files"):
        read_index("nowhere.csv")
    (tree / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="binary.csv: not a CSV text file"):
        read_index("binary.csv")
    with pytest.raises(InputError, match="data: cannot be read"):
        read_index("data")


def test_written_rows_come_back(tree):
    rows = [IndexRow(*ROW.split(",")[:2], 3)]
    write_index("out.csv", rows)
    assert (tree / "out.csv").read_text(encoding="utf-8") == ROW + "\n"
    assert [(r.audio_path, r.num_frames) for r in read_index("out.csv")] == [(rows[0].audio_path, 3)]


def test_sax_and_saxophone_are_one():
    assert instrument_name("sax") == instrument_name("Saxophone") == "saxophone"
