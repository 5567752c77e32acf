"""Whole files whose headers tell a wrong length or none, and truncated ones: the true length, or the true reason."""

from __future__ import annotations

import av
import numpy as np
import pytest
from test_decoders import check_windows, wav
from tools import TONE, by_ffmpeg, make, write_tone

from dataset.audio import recording_length
from utils.errors import InputError

PICTURES = "-f lavfi -i testsrc=d=3:s=64x64:r=5"
FF = "ffmpeg -v error"
SHORT = f"sox {TONE} short.wav trim 1 400s"

WHOLE = [
    ("piped.avi", f"{FF} {PICTURES} -i {TONE} -c:v mpeg4 -c:a mp2 -f avi - | cat >piped.avi"),
    ("pcm.avi", f"{FF} -i {TONE} -f avi - | cat >pcm.avi"),
    ("late.avi", f"{FF} {PICTURES} -itsoffset 30 -i {TONE} -c:v mpeg4 -c:a mp2 late.avi"),
    ("piped.mkv", f"{FF} {PICTURES} -i {TONE} -c:v mpeg4 -c:a ac3 -f matroska - | cat >piped.mkv"),
    ("piped.wma", f"{FF} -i {TONE} -c:a wmav2 -f asf - | cat >piped.wma"),
    ("chain.oga", f"flac -s --ogg {TONE} -o a.oga && cat a.oga a.oga a.oga >chain.oga"),
    ("half_frame.gsm", f"sox {TONE} -r 8000 -c 1 a.gsm && head -c 5001 a.gsm >half_frame.gsm"),
    ("zeros.ts", f"{FF} -i {TONE} a.ts && cp a.ts zeros.ts && head -c 3000 /dev/zero >>zeros.ts"),
    ("zeros_inside.ts", f"{FF} -i {TONE} a.ts && head -c 37600 a.ts >zeros_inside.ts && head -c 3000 /dev/zero "
     ">>zeros_inside.ts && tail -c +37601 a.ts >>zeros_inside.ts"),
    ("short.mp3", f"{SHORT} && lame --quiet short.wav short.mp3"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "command"), WHOLE, ids=[case[0] for case in WHOLE])
def test_whole_files_are_read_whole(tmp_path, name, command):
    write_tone(tmp_path / TONE)
    make(tmp_path, command)
    whole = check_windows(tmp_path / name)
    expected = by_ffmpeg(tmp_path / name, len(whole)).T
    assert whole.shape == expected.shape
    np.testing.assert_allclose(whole, expected, atol=1e-3)


@pytest.mark.parametrize("tag", [0x0009, 0x4243, 0x9999, 0xFFFF])
def test_a_coding_that_nobody_knows(tmp_path, tag):
    (tmp_path / "a.wav").write_bytes(wav(bytes(30_000), tag, 16))
    with pytest.raises(InputError, match=r"a.wav: cannot be read as audio \(|a.wav: holds no sound"):
        recording_length(str(tmp_path / "a.wav"), 11025)


def test_a_track_that_appears_late_is_passed_over(tmp_path):
    """Farther on in the file than libav looks for tracks."""
    write_tone(tmp_path / TONE)
    make(tmp_path, f"{FF} -stream_loop 7 -i {TONE} -c:a pcm_s16le a.flv && {FF} {PICTURES} -c:v flv b.flv")
    expected = recording_length(str(tmp_path / "a.flv"), 44100)
    with open(tmp_path / "a.flv", "ab") as file:
        file.write((tmp_path / "b.flv").read_bytes()[13:])  # behind the header
    with av.open(str(tmp_path / "a.flv")) as container, pytest.raises(IndexError):
        list(container.demux())
    assert recording_length(str(tmp_path / "a.flv"), 44100) == expected > 40 * 44100


def test_a_file_shorter_than_a_packet_is_not_truncated(tmp_path):
    """Its container tells of the packet's length."""
    write_tone(tmp_path / TONE)
    make(tmp_path, f"{SHORT} && {FF} -i short.wav -c:a libopus a.webm")
    assert 400 / 44100 * 48_000 < check_windows(tmp_path / "a.webm").shape[1] < 960


TRUNCATED = [
    ("a.avi", f"{FF} {PICTURES} -i {TONE} -c:v mpeg4 -c:a mp2 a.avi", r"holds \d+ of the \d+ bytes"),
    ("a.wma", f"{FF} -i {TONE} -c:a wmav2 a.wma", r"holds \d+ of the \d+ bytes"),
    ("a.wmv", f"{FF} {PICTURES} -i {TONE} -c:v wmv2 -c:a wmav2 a.wmv", r"holds \d+ of the \d+ bytes"),
    ("a.mkv", f"{FF} -i {TONE} -c:a ac3 a.mkv", r"ends after 3\.\d of the 6\.\d s"),
]


@pytest.mark.parametrize(("name", "command", "reason"), TRUNCATED, ids=[case[0] for case in TRUNCATED])
def test_truncated_files_are_refused(tmp_path, name, command, reason):
    write_tone(tmp_path / TONE)
    make(tmp_path, command)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=f"{reason} that its header states; the file is truncated"):
        recording_length(str(tmp_path / name), 11025)


@pytest.mark.parametrize("rates", [(44.1, 48), (44.1, 44.1, 44.1, 22.05), (22.05, 44.1, 44.1, 44.1)])
def test_mp3_files_of_two_rates_joined_are_refused(tmp_path, rates):
    """The frames of the first rate would be read, and the others left out without a word."""
    write_tone(tmp_path / TONE, 2.0)
    for rate in set(rates):
        make(tmp_path, f"lame --quiet -b 128 --resample {rate} {TONE} {rate}.mp3")
    (tmp_path / "a.mp3").write_bytes(b"".join((tmp_path / f"{rate}.mp3").read_bytes() for rate in rates))
    with pytest.raises(InputError, match="a.mp3: its sampling rate changes from"):
        recording_length(str(tmp_path / "a.mp3"), 11025)


@pytest.mark.parametrize("name", ["a.mp2", "a.mp3"])
def test_a_single_frame_is_read_or_refused_for_what_it_is(tmp_path, name):
    """libsndfile says of it that the file does not exist."""
    write_tone(tmp_path / TONE)
    make(tmp_path, f"sox {TONE} short.wav trim 1 20s && lame --quiet short.wav a.mp3 && {FF} -i short.wav a.mp2")
    if name == "a.mp3":
        assert recording_length(str(tmp_path / name), 44100) == 20
    else:
        with pytest.raises(InputError, match="no frames of audio in it"):
            recording_length(str(tmp_path / name), 44100)
