"""Many recordings in one call, and the forms that stems are written in."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
import separate
import soundfile
from test_separate import files, open3d, write_scene_file  # noqa: F401
from test_separator import music

from jobs.lists import Job, batch_of
from jobs.names import check_template, stem_files
from utils.errors import InputError, run_command


@pytest.fixture
def batch(files, tmp_path, monkeypatch, capsys):  # noqa: F811
    """Runs the command in a folder with recordings -> exit code, what it printed, what it complained of."""
    monkeypatch.chdir(tmp_path)
    for name in ("violin.ply", "cello.ply", "run"):
        (tmp_path / name).symlink_to(files / name)
    samples, rate = soundfile.read(files / "song.wav")
    (tmp_path / "songs" / "live").mkdir(parents=True)
    soundfile.write("songs/one.wav", samples, rate)
    soundfile.write("songs/two.flac", samples[: rate // 2, 0] * 0.5, rate)
    soundfile.write("songs/live/three.wav", samples[rate // 2 :], rate)

    def command(*words):
        monkeypatch.setattr(sys, "argv", ["separate.py", "--run", "run", "--device", "cpu", *map(str, words)])
        with pytest.raises(SystemExit) as leaving:
            run_command(separate.main)
        return leaving.value.code or 0, *capsys.readouterr()

    return command


CLOUDS = ("--points", "violin.ply", "cello.ply")


def test_a_folder_of_recordings(batch, tmp_path):
    """Every recording gets the stems that it gets alone, in a folder of its name; one bar leads through all of them."""
    code, printed, complaint = batch("--batch", "songs", *CLOUDS, "--residual")
    assert code == 0, complaint
    assert "3 of 3 recordings separated" in printed
    for song in ("one.wav", "two.flac", "live/three.wav"):
        alone = tmp_path / "alone" / song
        assert batch("--mixture", f"songs/{song}", *CLOUDS, "--residual", "--output", alone)[0] == 0
        together = tmp_path / "out" / song.split(".")[0]
        for name in ("violin.wav", "cello.wav", "residual.wav"):
            np.testing.assert_array_equal(soundfile.read(together / name)[0], soundfile.read(alone / name)[0])
    last = [line for line in printed.splitlines() if line.startswith("separating [")][-1]
    done, _, total = last.partition("[")[2].partition("]")[0].partition("/")
    assert done == total and "0:00 left" in last.replace("00:00", "0:00")


def test_what_fails_is_told_and_the_rest_is_done(batch, tmp_path):
    (tmp_path / "songs" / "notes.txt").write_text("bring the second violin")
    (tmp_path / "songs" / ".hidden").write_text("")
    shutil.copy("songs/one.wav", "songs/two.wav")  # and there is two.flac
    code, printed, complaint = batch("--batch", "songs", *CLOUDS)
    assert code == 2 and "3 of 5 recordings separated" in printed
    lines = complaint.splitlines()
    assert len(lines) == 3 and all(line.startswith("error: ") for line in lines)
    assert any("songs/notes.txt: " in line for line in lines)
    assert any("songs/two.wav: its violin.wav would be where that of songs/two.flac is" in line for line in lines)
    assert lines[-1] == "error: 2 of 5 recordings were not separated; the reasons are above"


def test_a_recording_that_breaks_off_does_not_end_the_batch(batch, tmp_path):
    soundfile.write("whole.flac", music(seconds=20.0, rate=22050).T, 22050)
    content = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "songs" / "broken.flac").write_bytes(content[: int(0.9 * len(content))])
    code, printed, complaint = batch("--batch", "songs", *CLOUDS)
    assert code == 2 and "3 of 4 recordings separated" in printed and complaint.startswith("error: songs/broken.flac: ")
    assert not list((tmp_path / "out").glob("broken/*"))


def test_a_batch_resumes(batch, tmp_path):
    assert batch("--batch", "songs", *CLOUDS)[0] == 0
    (tmp_path / "out" / "two" / "cello.wav").unlink()
    kept = (tmp_path / "out" / "one" / "cello.wav").stat().st_mtime_ns
    code, _, complaint = batch("--batch", "songs", *CLOUDS)
    assert code == 2 and complaint.count("exists; choose another --output") == 3
    code, printed, complaint = batch("--batch", "songs", *CLOUDS, "--resume", 1)
    assert code == 0, complaint
    assert "1 of 3 recordings separated, 2 were there already" in printed
    assert (tmp_path / "out" / "two" / "cello.wav").exists()
    assert (tmp_path / "out" / "one" / "cello.wav").stat().st_mtime_ns == kept
    code, printed, _ = batch("--batch", "songs", *CLOUDS, "--resume", 1)
    assert code == 0 and "0 of 3 recordings separated, 3 were there already" in printed


def test_output_captures_and_recordings_in_one_folder(batch, tmp_path):
    """Stems are never taken for recordings, nor written over them."""
    for name in ("violin.ply", "cello.ply"):
        shutil.copy(tmp_path / name, tmp_path / "songs" / name)
    clouds = ("--points", "songs/violin.ply", "songs/cello.ply")
    for _ in range(2):
        code, printed, complaint = batch("--batch", "songs", *clouds, "--output", "songs/out", "--overwrite", 1)
        assert code == 0 and "3 of 3 recordings separated" in printed, complaint
    code, _, complaint = batch("--batch", "songs", *clouds, "--output", "songs")
    assert code == 2 and "--output songs: the folder of the recordings itself" in complaint
    shutil.copy("songs/one.wav", "songs/cello.wav")
    (tmp_path / "list.csv").write_text("mixture,output\nsongs/cello.wav,a\nsongs/two.flac,songs\nsongs/cello.wav,a\n")
    code, _, complaint = batch("--batch", "list.csv", *clouds, "--overwrite", 1)
    assert code == 2 and "songs/two.flac: its cello.wav would be where the recording songs/cello.wav is" in complaint
    assert "songs/cello.wav: its violin.wav would be where that of songs/cello.wav is" in complaint


def test_places_that_cannot_be(batch, tmp_path):
    """One row's fault is that row's."""
    (tmp_path / "loop").symlink_to("loop")
    rows = ["songs/one.wav,loop/x", "songs/one\0.wav,", "songs/one.wav,a\0b", "songs/two.flac,fine"]
    (tmp_path / "list.csv").write_text("\n".join(["mixture,output", *rows]))
    code, printed, complaint = batch("--batch", "list.csv", *CLOUDS)
    assert code == 2 and "1 of 4 recordings separated" in printed
    assert complaint.count("holds a zero byte") == 2 and complaint.count("\n") == 4


def test_a_list(batch, tmp_path):
    (tmp_path / "list.csv").write_text(
        "\ufeffmixture,points,names,output\n"
        "songs/one.wav,violin.ply;cello.ply,,\n"
        "songs/live/three.wav, cello.ply ; violin.ply,b; a,elsewhere\n"
        "\n"
        "songs/two.flac,nobody.ply,,\n"
        "songs/lost.wav,violin.ply,,\n"
        "songs/two.flac,violin.ply\n"
    )
    code, printed, complaint = batch("--batch", "list.csv")
    assert code == 2 and "2 of 5 recordings separated" in printed
    assert sorted(path.name for path in (tmp_path / "out" / "one").iterdir()) == ["cello.wav", "violin.wav"]
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["a.wav", "b.wav"]
    lines = complaint.splitlines()
    assert lines[-1].startswith("error: 3 of 5 ")
    assert any(line.startswith("error: list.csv:7: 2 cells in a table of 4 columns") for line in lines)
    assert any(line.startswith("error: list.csv:5: songs/two.flac: nobody.ply: ") for line in lines)
    assert any(line.startswith("error: list.csv:6: songs/lost.wav: ") for line in lines)


def test_a_quotation_mark_costs_its_row_alone(batch, tmp_path):
    (tmp_path / "list.csv").write_text(
        'mixture,points,names\n"song.wav,violin.ply,\n"songs/one.wav",violin.ply,a;b\n"songs/one.wav","violin.ply",\r\n'
    )
    code, printed, complaint = batch("--batch", "list.csv")
    assert code == 2 and "1 of 3 recordings separated" in printed
    first, second, _ = complaint.splitlines()
    assert first == "error: list.csv:2: not a row of a CSV file (a quotation mark is not closed)"
    assert second == "error: list.csv:3: songs/one.wav: names: 2 name(s) for 1 source(s) (a b)"


def test_a_row_without_clouds_takes_those_of_the_command_line(tmp_path):
    (tmp_path / "list.csv").write_text("scene,mixture\nroom.ply,a.wav\n,b.wav\n")
    common = Job(tmp_path, tmp_path, points=("x.ply",))
    first, second = batch_of(tmp_path / "list.csv", common)
    assert (first.scene, first.points) == ("room.ply", ()) and (second.scene, second.points) == ("", ("x.ply",))


def test_recordings_share_a_folder_if_their_stems_have_their_names(batch, tmp_path):
    (tmp_path / "list.csv").write_text("mixture,output\nsongs/one.wav,all\nsongs/two.flac,all\n")
    code, _, complaint = batch("--batch", "list.csv", *CLOUDS)
    assert code == 2 and "songs/two.flac: its violin.wav would be where that of songs/one.wav is" in complaint
    for template in ("{{mixture}}_{name}", "x{mixture:.0}_{name}"):  # in which no name of a mixture is left
        code, _, complaint = batch("--batch", "list.csv", *CLOUDS, "--name_template", template, "--overwrite", 1)
        assert code == 2 and "songs/two.flac: its " in complaint
    code, _, complaint = batch(
        "--batch", "list.csv", *CLOUDS, "--name_template", "{mixture:.3}-{name}", "--overwrite", 1
    )
    assert code == 0, complaint
    found = {path.name for path in (tmp_path / "all").iterdir()}
    assert found >= {f"{song}-{name}.wav" for song in ("one", "two") for name in ("cello", "violin")}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the first line is not a header"),
        ("song.wav,a.ply\n", "the first line is not a header"),
        ("mixture;points\n", "the first line is not a header"),
        ("mixture,mixture\n", "the first line is not a header"),
        ("mixture,points\n", "no recordings in it"),
        (b"\xff\xfe\x00", "not a CSV text file"),
        (None, "cannot be read"),
    ],
)
def test_lists_that_are_none(batch, tmp_path, content, message):
    if content is not None:
        (tmp_path / "list.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    code, _, complaint = batch("--batch", "list.csv")
    assert code == 2 and complaint.startswith("error: list.csv: ") and message in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (",a.ply,,", "no mixture"),
        ("a.wav,a.ply,room.ply,", "points and scene are given; expected one of them"),
        ("a.wav,,,violin", "none of points, scene, labels is given, neither here nor as an option"),
    ],
)
def test_rows_that_are_wrong(tmp_path, row, message):
    (tmp_path / "list.csv").write_text(f"mixture,points,scene,names\n{row}\n")
    (error,) = batch_of(tmp_path / "list.csv", Job(tmp_path, tmp_path))
    assert isinstance(error, InputError) and str(error) == f"{tmp_path / 'list.csv'}:2: {message}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--batch", "songs"), "a folder of recordings needs --points, --scene or --labels"),
        (("--batch", "empty", *CLOUDS), "empty: no recordings in it"),
        (("--batch", "songs", "--mixture", "songs/one.wav", *CLOUDS), "not allowed with argument"),
        (("--mixture", "songs/one.wav"), "one of the arguments --points --scene --labels is required"),
        (("--mixture", "songs/one.wav", *CLOUDS, "--resume", 1), "--resume goes with --batch"),
        (("--batch", "songs", *CLOUDS, "--resume", 1, "--overwrite", 1), "choose one"),
        (("--mixture", "songs/one.wav", *CLOUDS, "--format", "mp3"), "invalid choice"),
        (
            ("--mixture", "songs/one.wav", *CLOUDS, "--format", "flac", "--subtype", "float"),
            "--subtype FLOAT: flac files have PCM_24, PCM_16",
        ),
        (("--mixture", "songs/one.wav", *CLOUDS, "--name_template", "{mixture}"), "all stems would have one name"),
        (("--mixture", "songs/one.wav", *CLOUDS, "--name_template", "a/{name}"), "cannot be the name of a file"),
        (("--mixture", "songs/one.wav", *CLOUDS, "--name_template", "{who}"), "can be filled in"),
        (("--mixture", "songs/one.wav", *CLOUDS, "--name_template", "{name"), "--name_template '{name': "),
    ],
)
def test_wrong_calls_are_one_line(batch, tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    code, _, complaint = batch(*words)
    assert code == 2 and message in complaint and complaint.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "template",
    [
        "{name.__class__}",
        "{name[0]}",
        "{}",
        "{0}",
        "{number:{name}}",
        "{number:s}",
        "{name!q}",
        "{number:999999999999}",
        "{name:9999999999}",
        "{name:>02000000000}",
        "{name:.99999}{number}",
    ],
)
def test_templates_that_are_none(template):
    with pytest.raises(InputError, match="--name_template"):
        check_template(template)


def test_templates(tmp_path):
    job = Job(tmp_path / "my song.wav", tmp_path)
    paths = stem_files(job, ["violin", "cello"], check_template("{number:02}_{mixture}_{name}"), "flac")
    assert [path.name for path in paths] == ["01_my song_violin.flac", "02_my song_cello.flac"]
    with pytest.raises(InputError, match="would be the name of two files"):
        stem_files(job, ["violin", "cello"], "{name:.0}x", "wav")
    with pytest.raises(InputError, match="cannot be printed"):
        stem_files(job, ["violin", "cello"], "{number:c}", "wav")
    with pytest.raises(InputError, match="longer than the 255 bytes of a file's name"):
        stem_files(job, ["violin", "cello"], check_template("{name:ü<200}"), "wav")


@pytest.mark.parametrize(
    ("words", "format", "subtype", "step"),
    [
        (("--format", "flac"), "FLAC", "PCM_24", 2**-23),
        (("--format", "flac", "--subtype", "pcm_16"), "FLAC", "PCM_16", 2**-15),
        (("--subtype", "PCM_24"), "WAV", "PCM_24", 2**-23),
        (("--subtype", "DOUBLE"), "WAV", "DOUBLE", 1e-12),
    ],
)
def test_forms_of_stems(batch, tmp_path, words, format, subtype, step):
    assert batch("--mixture", "songs/one.wav", *CLOUDS, "--output", "floats")[0] == 0
    code, _, complaint = batch("--mixture", "songs/one.wav", *CLOUDS, *words)
    assert code == 0, complaint
    for name in ("violin", "cello"):
        path = tmp_path / "out" / f"{name}.{format.lower()}"
        assert soundfile.info(path).format == format and soundfile.info(path).subtype == subtype
        expected, _ = soundfile.read(tmp_path / "floats" / f"{name}.wav")
        np.testing.assert_allclose(soundfile.read(path)[0], expected.clip(-1, 1 - step), atol=step)


def test_samples_beyond_full_scale_are_told(batch, tmp_path):
    samples, rate = soundfile.read("songs/one.wav")
    soundfile.write("loud.wav", 8 / np.abs(samples).max() * samples, rate, subtype="FLOAT")
    code, printed, _ = batch("--mixture", "loud.wav", *CLOUDS, "--subtype", "PCM_16", "--masks", "shared")
    assert code == 0
    assert "dB above full scale; --format wav --subtype FLOAT keeps them" in printed
    assert any(np.abs(soundfile.read(path)[0]).max() > 0.999 for path in (tmp_path / "out").glob("*.wav"))
    _, printed, _ = batch("--mixture", "loud.wav", *CLOUDS, "--output", "floats", "--masks", "shared")
    assert "full scale" not in printed


def test_more_channels_than_a_format_has(batch, tmp_path):
    soundfile.write("wide.wav", np.full((4000, 9), 0.1), 22050)
    code, _, complaint = batch("--mixture", "wide.wav", *CLOUDS, "--format", "flac")
    assert code == 2 and "9 channels, and flac files have at most 8 channels" in complaint


@pytest.mark.parametrize(("rate", "is_written"), [(65_535, True), (88_200, True), (88_201, False)])
def test_rates_that_a_format_lacks_do_not_end_the_batch(batch, tmp_path, rate, is_written):
    soundfile.write("songs/fine.wav", np.full(40_000, 0.1), rate)
    code, printed, complaint = batch("--batch", "songs", *CLOUDS, "--format", "flac")
    assert (code == 0) == is_written and (tmp_path / "out" / "two" / "violin.flac").exists()
    assert (tmp_path / "out" / "fine" / "violin.flac").exists() == is_written
    told = (
        "error: songs/fine.wav: out/fine/violin.flac: 88201 Hz, and flac files have rates above 65535 Hz in tens alone"
    )
    assert complaint.startswith(told) or is_written


def test_a_scene_of_several_recordings(batch, tmp_path, open3d, monkeypatch):  # noqa: F811
    """The musicians are found once; stems in FLAC are what the scene's other files refer to."""
    from jobs import players

    searches = []
    search = players.split_scene
    monkeypatch.setattr(players, "split_scene", lambda *args: searches.append(args) or search(*args))
    write_scene_file(tmp_path / "scene.ply", [(-1.3, 0.0), (1.2, 0.3)])
    words = ("--batch", "songs", "--scene", "scene.ply", "--format", "flac", "--name_template", "{mixture}_{name}")
    code, printed, complaint = batch(*words, "--report")
    assert code == 0, complaint
    assert len(searches) == 1 and printed.count("scene.ply: 2 musicians") == 1
    folder = tmp_path / "out" / "live" / "three"
    described = json.loads((folder / "scene.json").read_text())
    assert [source["stem"] for source in described["sources"]] == ["three_source1.flac", "three_source2.flac"]
    assert b"three_source1.flac" in (folder / "scene.glb").read_bytes()
    assert b"audio/flac" in (folder / "scene.glb").read_bytes()
    assert (folder / "scene.wav").exists() and (folder / "report" / "index.html").exists()
