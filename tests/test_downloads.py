"""Downloads as they come: one bad file does not stop the rest; what is left out is reported, nothing is clipped."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import numpy as np
import prepare_audio
import pytest
import soundfile
from conftest import ROOT
from media_files import RATE, SECONDS, extracted, run, sound, write_media

from dataset.extract import write_mono


def outcome(monkeypatch, capfd, *arguments) -> tuple[int, str, list[str]]:
    """Exit code, standard output and the lines of standard error, where nothing but files may be told of."""
    code = run(monkeypatch, *arguments)
    out, err = capfd.readouterr()
    assert "Traceback" not in err and "Warning" not in err
    return code, out, err.splitlines()


def names_in(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_one_file_does_not_end_the_run(tmp_path, monkeypatch, capfd):
    downloads = tmp_path / "in"
    downloads.mkdir()
    for bytes_of_name in (5, 228, 229, 251, 252, 255):
        soundfile.write(downloads / ("n" * (bytes_of_name - 4) + ".wav"), sound(8000), 8000)
    soundfile.write(downloads / ("音" * 83 + ".wav"), sound(8000), 8000)
    soundfile.write(downloads / "short.wav", sound(48000)[:2], 48000)
    soundfile.write(downloads / "loud.wav", np.full((500, 6), 1e300), 8000, subtype="DOUBLE")
    (downloads / "text.mp3").write_text("no sound")
    code, out, err = outcome(monkeypatch, capfd, downloads, "--output", tmp_path / "out")
    assert code == 2 and "6 written, 0 there before, 4 unreadable, 0 left out" in out
    assert len(names_in(tmp_path / "out")) == 6 and max(map(len, names_in(tmp_path / "out"))) == 253
    assert sum("its name is too long for .flac; rename it" in line for line in err) == 1
    assert sum("short.wav: too short for one sample at 11025 Hz" in line for line in err) == 1
    assert all(any(name in line for line in err) for name in ("loud.wav", "text.mp3")) and len(err) == 4


def test_a_decoder_that_fails_in_its_own_way_does_not_end_the_run(tmp_path, monkeypatch, capfd):
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", sound(8000), 8000)

    def fail_at_a(source, target, rate_hz):
        if target.stem == "a":
            raise OverflowError("out of range")
        return write_mono(source, target, rate_hz)

    monkeypatch.setattr(prepare_audio, "write_mono", fail_at_a)
    code, out, err = outcome(monkeypatch, capfd, tmp_path, "--output", tmp_path / "out")
    assert code == 2 and "1 written" in out
    assert err == [f"{tmp_path}/a.wav: cannot be read as audio (OverflowError: out of range)"]


def adts_frames(path) -> list[bytes]:
    """The frames of a file of AAC with headers of its own."""
    content, frames = path.read_bytes(), []
    while content:
        size = (content[3] & 3) << 11 | content[4] << 3 | content[5] >> 5
        frames.append(content[:size])
        content = content[size:]
    return frames


@pytest.mark.parametrize(("damaged", "expected"), [(1, "note: .*1 packet.* left out"), (20, "cannot be decoded")])
def test_packets_that_cannot_be_decoded(tmp_path, monkeypatch, capfd, damaged, expected):
    """One at the end drops nothing else; many are an error."""
    write_media(tmp_path / "a.aac", video=False)
    frames = adts_frames(tmp_path / "a.aac")
    whole = extracted(tmp_path / "a.aac")
    frames[-damaged:] = [frame[:7] + bytes([255]) * (len(frame) - 7) for frame in frames[-damaged:]]
    (tmp_path / "a.aac").write_bytes(b"".join(frames))
    code, out, err = outcome(monkeypatch, capfd, tmp_path / "a.aac", "--output", tmp_path / "out")
    assert re.search(expected, out + "".join(err)), out
    assert code == (0 if damaged == 1 else 2)
    if damaged == 1:
        assert "1 with a note" in out
        wave = soundfile.read(tmp_path / "out" / "a.flac", dtype="float32")[0]
        assert len(whole) - 3 * 1024 <= len(wave) <= len(whole)
        np.testing.assert_allclose(wave[:-2000], whole[: len(wave) - 2000], atol=1e-4)


@pytest.mark.parametrize(
    "tag", [bytes(3000), b"LYRICSBEGIN" + b"la " * 99 + b"000308LYRICS200", b"APETAGEX" + bytes(24)]
)
def test_tags_at_the_end_are_no_damage(tmp_path, monkeypatch, capfd, tag):
    for name in ("a.mp3", "b.flac", "c.aac"):
        write_media(tmp_path / "c.aac", video=False) if name == "c.aac" else soundfile.write(
            tmp_path / name, sound(44100), 44100
        )
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + tag)
    code, out, err = outcome(monkeypatch, capfd, tmp_path, "--output", tmp_path / "out")
    assert (code, err) == (0, []) and "3 written" in out
    assert all(
        soundfile.info(path).duration == pytest.approx(SECONDS, abs=0.1) for path in (tmp_path / "out").iterdir()
    )


SIDECARS = [
    *(
        "description",
        "ass",
        "lrc",
        "ttml",
        "part",
        "ytdl",
        "cue",
        "nfo",
        "pdf",
        "xml",
        "info.json",
        "jpg",
        "webp",
        "vtt",
    ),
    *("json3", "part-Frag3", "m3u8"),
]


def test_what_comes_with_downloads_is_left_out_and_counted(tmp_path, monkeypatch, capfd):
    downloads = tmp_path / "in"
    (downloads / ".cache").mkdir(parents=True)
    (downloads / ".cache" / "hidden.wav").touch()
    write_media(downloads / "-id_1.ts", codec="mp2")
    for ending in SIDECARS:
        (downloads / f"-id_1.{ending}").write_text("words")
    (downloads / "other.jpg").touch()
    (downloads / "-id_1.xyz").write_text("words")  # an ending nobody knows, beside a file that is read
    (downloads / "gone.wav").symlink_to(tmp_path / "nowhere")
    code, out, err = outcome(monkeypatch, capfd, downloads, "--output", tmp_path / "out")
    assert (code, err) == (0, [])
    assert (
        names_in(tmp_path / "out") == ["-id_1.flac"] and "1 written, 0 there before, 0 unreadable, 21 left out" in out
    )
    assert "left out: 2 file(s) *.jpg: a picture" in out and "left out: 1 file(s) *.ttml: subtitles or lyrics" in out
    assert f"left out: {downloads}/.cache: a hidden folder" in out
    assert f"left out: {downloads}/gone.wav: a link to nothing" in out
    assert re.search(r"left out: .*-id_1.xyz: .*-id_1.ts is taken", out)
    code, out, err = outcome(monkeypatch, capfd, downloads, "--output", tmp_path / "out")
    assert (code, err) == (0, []) and "0 written, 1 there before" in out


def test_the_output_is_no_input(tmp_path, monkeypatch, capfd):
    soundfile.write(tmp_path / "a.mp3", sound(8000), 8000)
    (tmp_path / "link").symlink_to(tmp_path)
    code, _, err = outcome(monkeypatch, capfd, tmp_path / "link", "--output", tmp_path)
    assert (code, err) == (2, [f"error: {tmp_path}/link: is also --output; write to another folder"])


def test_linked_folders_are_read_once(tmp_path, monkeypatch, capfd):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "elsewhere" / "a.wav", sound(8000), 8000)
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "in")
    code, out, err = outcome(monkeypatch, capfd, tmp_path / "in", "--output", tmp_path / "out")
    assert (code, err) == (0, []) and "1 written, 0 there before, 0 unreadable, 0 left out" in out


def test_one_of_each_shared_id_is_kept(tmp_path, monkeypatch, capfd):
    """MUSIC and Solos share videos; a file that cannot be read gives way to another of its name."""
    for folder, name in (("music", "abcdefghijk.mp4"), ("solos", "abcdefghijk.mkv"), ("solos", "other_video.mkv")):
        (tmp_path / folder).mkdir(exist_ok=True)
        write_media(tmp_path / folder / name)
    (tmp_path / "music" / "other_video.mp4").write_bytes(b"broken")
    inputs = tmp_path / "music", tmp_path / "solos"
    code, out, err = outcome(monkeypatch, capfd, *inputs, "--output", tmp_path / "out")
    assert (code, err) == (0, []) and "2 written, 0 there before, 0 unreadable, 2 left out" in out
    first, second = (inputs[0] / "abcdefghijk.mp4", inputs[1] / "abcdefghijk.mkv")
    assert f"left out: {second}: of the same name; {first} is taken" in out
    assert re.search("left out: .*music/other_video.mp4: cannot be read.*; .*solos/other_video.mkv is taken", out)


@pytest.mark.parametrize("ending", ["flac", "wav", "mp3", "ogg"])
def test_shared_ids_of_two_commands_are_told(tmp_path, monkeypatch, capfd, ending):
    for folder, names in (
        ("music", ("-shared.mp4", "caf\udce9.mkv")),
        ("solos", ("-shared.mkv", "caf\udce9.mkv", "b.mkv")),
    ):
        (tmp_path / folder).mkdir()
        for name in names:
            write_media(tmp_path / "a.mkv")
            (tmp_path / "a.mkv").rename(tmp_path / folder / name)
    options = ("--output", tmp_path / "out", "--format", ending)
    code, out, err = outcome(monkeypatch, capfd, tmp_path / "music", *options)
    assert (code, err) == (0, []) and "2 written, 0 there before, 0 unreadable, 0 left out" in out
    for count in ("1 written, 2 there before", "0 written, 3 there before"):
        code, out, err = outcome(monkeypatch, capfd, tmp_path / "solos", *options)
        assert (code, err) == (0, []) and f"{count}, 0 unreadable, 2 left out" in out
        for name, target in (("-shared.mkv", "-shared"), ("caf\udce9.mkv", "caf_")):
            line = f"left out: {tmp_path}/solos/{name}: of the same name as what {tmp_path}/out/{target}.{ending} was"
            assert line.encode(errors="backslashreplace").decode() in out
    monkeypatch.chdir(tmp_path)  # the same file by another path
    code, out, err = outcome(monkeypatch, capfd, "music", *options)
    assert (code, err) == (0, []) and "0 written, 2 there before, 0 unreadable, 0 left out" in out
    soundfile.write(tmp_path / "out" / f"b.{ending}", sound(8000), 8000)  # made by something else: nothing is known
    assert "left out: " not in outcome(monkeypatch, capfd, tmp_path / "solos" / "b.mkv", *options)[1]


@pytest.mark.parametrize("ending", ["flac", "wav", "mp3", "ogg"])
def test_sounds_beyond_full_scale_are_made_softer(tmp_path, monkeypatch, capfd, ending):
    wave = 1.6 * np.sin(0.05 * np.arange(3 * RATE))
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "b.wav", wave / 1.6, RATE, subtype="FLOAT")
    output = tmp_path / "out"
    code, out, err = outcome(
        monkeypatch, capfd, tmp_path / "a.wav", tmp_path / "b.wav", "--output", output, "--format", ending
    )
    assert (code, err) == (0, []) and out.count("note: ") == 1
    assert f"note: {tmp_path}/a.wav: its peak is 1.6 of full scale: made softer by that" in out
    found = soundfile.read(output / f"a.{ending}")[0][2000:30_000]
    np.testing.assert_allclose(found, (wave / 1.6)[2000:30_000], atol=1e-4 if ending in ("flac", "wav") else 0.05)


def test_leftovers_of_a_killed_run_are_removed(tmp_path, monkeypatch, capfd):
    soundfile.write(tmp_path / "a.wav", sound(8000), 8000)
    code = (
        "import os, signal, sys, soundfile\n"
        "soundfile.SoundFile.write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "import prepare_audio; sys.argv[1:] = [*sys.argv[1:], '--workers', '1']; prepare_audio.main()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.wav"), "--output", str(tmp_path / "out")]
    env = {"PYTHONPATH": f"{ROOT / 'scripts'}"}
    assert subprocess.run(command, env=env).returncode == -signal.SIGKILL
    assert any(name.endswith(".tmp.flac") for name in names_in(tmp_path / "out"))
    assert outcome(monkeypatch, capfd, tmp_path / "a.wav", "--output", tmp_path / "out")[0] == 0
    assert names_in(tmp_path / "out") == ["a.flac"]
