"""What cannot be read is told with the system's own reason: nobody looks for a file that is there but not theirs."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from compare_curves import read_curve

from arguments import parse_arguments
from dataset.audio import open_recording
from dataset.cache import Cache
from dataset.captures import list_frames, read_capture
from dataset.decoders import open_decoder
from dataset.downloads import find_downloads
from dataset.eval_list import read_eval_list
from dataset.folders import LeftOut, subfolders
from dataset.index import parse_index, read_index
from dataset.labelled import LabelledClouds
from dataset.meshes import read_off
from dataset.points import read_cloud
from dataset.settings import VoxelSettings, Window
from main import find_run
from reports.evaluated import read_evaluation
from reports.page import writing_page
from reports.table import read_rows
from runs.folder import run_options
from runs.lock import locked
from runs.tensorboard_log import TensorBoardLog
from utils import checkpoint
from utils.errors import InputError
from utils.files import fault_of_file, fault_of_folder, read_json, replacing

TOO_LONG = "x" * 300


def nothing(path):
    return path


def folder(path):
    path.mkdir()
    return path


def link_to_nothing(path):
    path.symlink_to(path.with_name("gone"))
    return path


def loop(path):
    path.symlink_to(path)
    return path


def too_long(path):
    return path.with_name(TOO_LONG + path.suffix)


def in_a_file(path):
    path.with_name("plain").write_bytes(b"x")
    return path.with_name("plain") / path.name


def pipe(path):
    os.mkfifo(path)
    return path


PLACES = {  # what stands at a path -> the reason
    nothing: "no such file",
    folder: "a folder, not a file",
    link_to_nothing: "a link to nothing",
    loop: "Too many levels of symbolic links",
    too_long: "File name too long",
    in_a_file: "no such file",
    pipe: "not a regular file",
}
READERS = {
    "a.ply": lambda path: read_cloud(path),
    "b.ply": lambda path: read_capture(path),
    "a.pcd": lambda path: read_capture(path),
    "a.xyz": lambda path: read_capture(path),
    "a.off": lambda path: read_off(path),
    "a.wav": lambda path: open_decoder(path).__enter__(),
    "a.mp3": lambda path: open_recording(path).__enter__(),
    "a.flac": lambda path: open_recording(path).__enter__(),
    "a.mp4": lambda path: open_recording(path).__enter__(),
}
TEXTS = {
    "a.csv": lambda path: parse_index(path),
    "metrics.csv": lambda path: read_eval_list(path, num_mix=2, num_frames=1, window=Window(9, 9)),
    "a.json": lambda path: read_json(path),
    "a.pth": lambda path: checkpoint.load(path),
}


def read_row_of(path, lists):
    """Reads an index file, made in the folder `lists`, whose only row names a recording."""
    (lists / "a.csv").write_text(f"{path},{lists},1\n")
    return read_index(lists / "a.csv")


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.parametrize("name", [*READERS, *TEXTS])
def test_every_opening_tells_the_reason(tmp_path, name, place):
    if place is pipe and name in TEXTS and name != "a.pth":
        pytest.skip("lists may come through pipes")
    path = place(tmp_path / name)
    with pytest.raises(InputError) as error:
        {**READERS, **TEXTS}[name](str(path))
    assert str(error.value).startswith(f"{path}: cannot be read") and f"({PLACES[place]})" in str(error.value)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_rows_tell_the_reason(tmp_path, place):
    path = place(tmp_path / "a.wav")
    with pytest.raises(InputError) as error:
        read_row_of(path, tmp_path)
    reason = PLACES[place]
    told = "does not exist" if reason == "no such file" else f"cannot be read ({reason})"
    assert f"a.csv:1: recording {path} {told}" in str(error.value)


def folders(path):
    yield lambda: subfolders(path, LeftOut())
    yield lambda: LabelledClouds(path, "train", voxels=VoxelSettings(1, False), augment=0, seed=0)
    yield lambda: run_options(path)
    yield lambda: read_evaluation(path)
    yield lambda: read_rows([path])
    yield lambda: read_curve(path)


PLACES_OF_FOLDERS = {place: reason for place, reason in PLACES.items() if place is not folder}


@pytest.mark.parametrize("place", PLACES_OF_FOLDERS, ids=lambda place: place.__name__)
def test_folders_tell_the_reason(tmp_path, place):
    path = place(tmp_path / "a")
    for read in folders(path):
        with pytest.raises(InputError) as error:
            read()
        reason = PLACES[place].replace("no such file", "no such folder").replace("regular file", "folder")
        assert str(error.value).startswith(f"{path}: {reason}")
    if place is pipe:
        return
    for read in (lambda: list_frames(str(path)), lambda: find_downloads([path], tmp_path / "out")):
        with pytest.raises(InputError) as error:
            read()
        assert str(error.value).startswith(f"{path}: {PLACES[place]}")


def plain(path):
    path.write_bytes(b"x")
    return path


IN_THE_WAY = {  # what stands where a folder should be -> the reason
    plain: "a file, not a folder",
    pipe: "not a folder",
    link_to_nothing: "a link to nothing",
    loop: "Too many levels of symbolic links",
}


@pytest.mark.parametrize("place", IN_THE_WAY, ids=lambda place: place.__name__)
@pytest.mark.parametrize("deeper", ["", "deeper"])
def test_what_stands_in_a_folder_s_way_is_told(tmp_path, place, deeper):
    """And is left as it is."""
    path = place(tmp_path / "a")
    kind = path.lstat().st_mode
    folder = path / deeper

    def page():
        with writing_page(folder):
            pass

    def file():
        with replacing(folder / "a.wav"):
            pass

    def lock():
        with locked(folder):
            pass

    writers = [file, lock, lambda: TensorBoardLog(folder)]
    for write in writers if place is link_to_nothing else [page, *writers]:  # a page goes where a link leads
        with pytest.raises(InputError) as error:
            write()
        text = str(error.value)
        assert "cannot be written" in text and IN_THE_WAY[place] in text and str(path) in text and "\n" not in text
    assert path.lstat().st_mode == kind and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", [plain, pipe, link_to_nothing, loop], ids=lambda place: place.__name__)
def test_a_run_to_evaluate_that_is_no_folder(tmp_path, place):
    path = place(tmp_path / "a")
    for ckpt, run in ((tmp_path, "a"), (path, "run")):
        options = parse_arguments(["--mode", "eval", "--ckpt", str(ckpt), "--id", run])
        if run == "a":
            with pytest.raises(InputError, match=f"^{path}: {IN_THE_WAY[place]}; expected the folder of a run"):
                find_run(options)
        else:
            with pytest.raises(InputError, match=IN_THE_WAY[place]), locked(find_run(options)):
                pass


@pytest.mark.parametrize("name", [*READERS, *TEXTS])
def test_a_file_that_is_not_ours_to_read(tmp_path, monkeypatch, name):
    """By an `open` that refuses, which root would not meet."""
    path, real = tmp_path / name, open
    path.write_bytes(b"x")

    def refuse(place, *arguments, **options):
        if str(place) == str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return real(place, *arguments, **options)

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(InputError) as error:
        {**READERS, **TEXTS}[name](str(path))
    assert str(error.value).startswith(f"{path}: cannot be read") and "(Permission denied)" in str(error.value)


@pytest.fixture
def another_user():
    """A folder that all may enter, in which we are nobody: root may read everything."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o777)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    yield place
    if is_root:
        os.seteuid(0)
    for path in place.rglob("*"):
        path.chmod(0o700)
    shutil.rmtree(place)


@pytest.mark.parametrize("name", [*READERS, *TEXTS])
def test_a_mode_that_forbids_reading(another_user, name):
    path = another_user / name
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(InputError) as error:
        {**READERS, **TEXTS}[name](str(path))
    assert str(error.value).startswith(f"{path}: cannot be read") and "(Permission denied)" in str(error.value)


def test_a_folder_that_forbids_reading(another_user):
    path = another_user / "a"
    path.mkdir()
    (path / "a.wav").write_bytes(b"x")
    path.chmod(0)
    assert fault_of_folder(path) == fault_of_file(path / "a.wav") == "Permission denied"
    for read in [*folders(path), lambda: list_frames(str(path)), lambda: find_downloads([path], another_user / "out")]:
        with pytest.raises(InputError, match=f"^{path}: Permission denied"):
            read()
    with pytest.raises(InputError, match=r"recording .*a.wav cannot be read \(Permission denied\)"):
        read_row_of(path / "a.wav", another_user)


@pytest.mark.parametrize("kind", ["recording_length", "read_points", "read_surface"])
def test_the_cache_tells_the_reason(tmp_path, kind):
    path = loop(tmp_path / "a.wav")
    arguments = (str(path), 11025) if kind == "recording_length" else (str(path),)
    with pytest.raises(InputError, match=r"cannot be read \(Too many levels of symbolic links\)"):
        getattr(Cache(tmp_path / "cache"), kind)(*arguments)


def test_devices_are_no_lists():
    for read in (parse_index, read_json):
        with pytest.raises(InputError, match="^/dev/zero: cannot be read .a device, not a file"):
            read("/dev/zero")


def test_no_file_takes_the_place_of_a_pipe_or_device(tmp_path):
    """As root, `--json /dev/null` would otherwise leave a file there, and nothing is lost for other users."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "stdout").symlink_to("/proc/self/fd/1")
    before = {path.name: path.lstat() for path in tmp_path.iterdir()}
    for path in [*tmp_path.iterdir(), Path("/dev/null")]:
        with pytest.raises(InputError, match=f"^{path}: cannot be written .not a regular file."), replacing(path):
            pass
    assert {path.name: path.lstat() for path in tmp_path.iterdir()} == before
