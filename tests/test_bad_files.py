"""Bad recordings, clouds and lists, case by case: each works, or is an error of one line with the file and the reason.

They are read as a sample reads them; test_bad_commands.py has some of each go through the real command.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from bad_files import CLOUDS, RATE, RECORDINGS, RNG, WORKS, cloud, recording, shortened, sound

from dataset.audio import read_window, recording_length
from dataset.index import IndexRow, read_index
from dataset.music import MUSICMixDataset
from dataset.settings import FrameSettings, VoxelSettings, Window
from utils.errors import InputError


def samples(rows: list[IndexRow], rgbs_feature: bool) -> list:
    """What mixtures of evaluation and of training hold, or why they cannot be made; nothing may be warned of."""
    settings = dict(num_samples=2, seed=0, num_mix=2, window=Window(16383, RATE), frames=FrameSettings(2, 1))
    settings |= dict(voxels=VoxelSettings(0.05, rgbs_feature))
    with warnings.catch_warnings(action="error"):
        return [MUSICMixDataset(rows, training=training, **settings)[(1, 0)] for training in (False, True)]


def check_samples(found: list, expected: str) -> None:
    for sample in found:
        if expected:
            assert isinstance(sample, InputError), "worked"
            assert re.search(expected, str(sample)) and "list.csv:1" in str(sample), sample
            continue
        assert not isinstance(sample, InputError), sample
        assert np.isfinite(sample.waves).all() and np.abs(sample.waves).max() <= 0.5
        for coordinates, features in (voxels for source in sample.clouds for voxels in source):
            assert len(coordinates) == len(features) > 0 and np.isfinite(features).all()


@pytest.mark.parametrize(("name", "write", "expected"), RECORDINGS, ids=[case[0] for case in RECORDINGS])
def test_recordings(tmp_path, new_row, good_rows, name, write, expected):
    cloud()(tmp_path / "person_1" / "00001.ply")
    path = tmp_path / "cello" / name
    write(path)
    check_samples(samples([replace(new_row, audio_path=str(path)), *good_rows], True), expected)


@pytest.mark.parametrize(("name", "write", "expected"), CLOUDS, ids=[case[0] for case in CLOUDS])
def test_clouds(tmp_path, new_row, good_rows, name, write, expected):
    recording(sound())(tmp_path / "cello" / "a.wav")
    write(tmp_path / "person_1" / "00001.ply")
    row = replace(new_row, audio_path=str(tmp_path / "cello" / "a.wav"))
    check_samples(samples([row, *good_rows], not name.startswith("depth")), expected)


@pytest.mark.parametrize("suffix", ["mp3", "flac"])
def test_what_is_left_of_a_truncated_recording_is_heard(tmp_path, suffix):
    """Windows within what decodes are right; those beyond are errors, never silence."""
    whole, part = str(tmp_path / f"whole.{suffix}"), tmp_path / f"part.{suffix}"
    wave = sound(12)
    recording(wave)(tmp_path / f"whole.{suffix}")
    shortened(recording(wave), 0.5)(part)
    assert recording_length(str(part), RATE) == recording_length(whole, RATE)  # as the header says
    for start in (0, RATE, 3 * RATE):
        np.testing.assert_allclose(read_window(str(part), start, 8000, RATE), read_window(whole, start, 8000, RATE))
    for start in (7 * RATE, 11 * RATE):
        with pytest.raises(InputError, match=f"part.{suffix}: (cannot be decoded|.* truncated)"):
            read_window(str(part), start, 8000, RATE)


def test_six_channels_are_averaged(tmp_path):
    waves = RNG.uniform(-0.5, 0.5, (RATE, 6))
    recording(waves, subtype="FLOAT")(tmp_path / "a.wav")
    window = read_window(str(tmp_path / "a.wav"), 0, RATE, RATE)
    np.testing.assert_allclose(window, waves.mean(axis=1), atol=1e-6)


# Lists: {row} is a row whose paths have a space and letters beyond ASCII.
LISTS = [
    ("plain", "{row}\n", WORKS),
    ("no line end", "{row}", WORKS),
    ("byte-order mark", "\ufeff{row}\n", WORKS),
    ("CRLF", "{row}\r\n{row}\r\n", WORKS),
    ("CR", "{row}\r{row}\r", WORKS),
    ("quotes", '"{audio}","{frames}","2"\n', WORKS),
    ("blank lines", "\n\n{row}\n   \n\n{row}\n,,\n", WORKS),
    ("spaces", "  {audio} ,\t{frames} , 2 \n", WORKS),
    ("empty", "", "list.csv: the list is empty"),
    ("only a mark", "\ufeff", "list.csv: the list is empty"),
    ("two columns", "{row}\n{audio},{frames}\n", "list.csv:2: .*found 2 column"),
    ("four columns", "{row},4\n", "list.csv:1: .*found 4 column"),
    ("semicolons", "{audio};{frames};2\n", "list.csv:1: .*found 1 column"),
    ("open quote", '"{row}\n{row}\n', r"list.csv:1: not a row of a CSV file \(a quotation mark is not closed"),
    ("a heading", "audio,frames,count\n{row}\n", "list.csv:1: the number of frames is 'count'"),
    ("negative count", "{audio},{frames},-2\n", "list.csv:1: the number of frames is '-2'"),
    ("no count", "{audio},{frames},\n", "list.csv:1: the number of frames is ''"),
    ("count of 0", "{audio},{frames},0\n", "list.csv:1: the number of frames is '0'"),
    ("half a count", "{audio},{frames},1.5\n", "list.csv:1: the number of frames is '1.5'"),
    ("another digit", "{audio},{frames},²\n", "list.csv:1: the number of frames is '²'"),
    (
        "endless count",
        "{audio},{frames}," + "9" * 5000,
        "list.csv:1: the number of frames is '99999999999999999999...'",
    ),
    ("count too high", "{audio},{frames},9\n", "list.csv:1: says 9 frames, but .*00008.ply does not exist"),
    ("no recording", "{audio}.wav,{frames},2\n", "list.csv:1: recording .* does not exist"),
    ("no folder", "{audio},{frames}s,2\n", "list.csv:1: folder .*s does not exist"),
    (
        "endless path",
        "{audio}" + "a" * 5000 + ",{frames},2\n",
        "list.csv:1: recording .* cannot be read .File name too long",
    ),
    ("a NUL", "a\0{audio},{frames},2\n", "list.csv:1: recording .* cannot be read .embedded null byte"),
    ("endless field", '"' + "x" * 200_000 + '",a,1\n', "list.csv:1: not a row of a CSV file"),
    ("UTF-16", "utf-16", "list.csv: not a CSV text file"),
    ("Latin-1", "latin-1", "list.csv: not a CSV text file"),
]


@pytest.mark.parametrize(("name", "text", "expected"), LISTS, ids=[case[0] for case in LISTS])
def test_lists(tmp_path, monkeypatch, name, text, expected):
    monkeypatch.chdir(tmp_path)
    audio, frames = "./my audio/cëllo/Stück 1.wav", "./my frames/Künstler 1"
    (tmp_path / audio).parent.mkdir(parents=True)
    recording(sound(1))(tmp_path / audio)
    for frame in range(2):
        cloud()(tmp_path / frames / f"{frame:05d}.ply")
    line = f"{audio},{frames},2"
    encoding = text if name in ("UTF-16", "Latin-1") else "utf-8"
    text = line if encoding == text else text.format(row=line, audio=audio, frames=frames)
    (tmp_path / "list.csv").write_bytes(text.encode(encoding))
    if expected:
        with pytest.raises(InputError, match=expected) as error:
            read_index("list.csv")
        assert "\n" not in str(error.value)
    else:
        for found in read_index("list.csv"):
            assert (found.audio_path, found.frames_path, found.num_frames) == (audio, frames, 2)
            assert found.instrument == "cëllo"
