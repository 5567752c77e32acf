"""Runs that are stopped, killed, or cannot write: whole files, one line, in the end the same run to the last bit."""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
import torch
import torture
from conftest import ROOT, write_cloud
from test_main import events_of, hparams_of
from torch import nn

import main
import models
from arguments import build_parser, parse_arguments
from dataset.index import IndexRow, write_index
from models import SeparationNet
from run_folder import MAY_CHANGE, check_resumed, find_run
from utils import checkpoint, files, run_state
from utils.errors import InputError, WriteError
from utils.files import remove_leftovers
from utils.lock import LOCK, locked
from utils.results import SCORES
from utils.signals import Stopped, StopSignals

TINY = [
    *("--id", "tiny", "--device", "cpu", "--arch_sound", "unet5", "--ngf", "4", "--num_channels", "4"),
    *("--audLen", "8191", "--batch_size_per_gpu", "4", "--voxel_size", "0.1", "--workers", "0", "--num_epoch", "2"),
    *("--dup_trainset", "1", "--num_val", "2", "--num_vis", "0", "--lr_steps", "1", "--optimizer", "adam"),
    *("--mask_thres", "0.1", "--save_iter", "2"),
]


class SmallVision(nn.Module):
    """A stand-in for the vision net, a thousandth of its size, that draws random numbers in training."""

    def __init__(self, fc_dim, engine):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
        self.fc = nn.Linear(8, fc_dim)

    def forward(self, coordinates, features):
        seen = torch.zeros(int(coordinates[:, 0].max()) + 1, 8)
        return self.fc(seen.index_add(0, coordinates[:, 0], self.features(features)))


@pytest.fixture
def lists(rows, tmp_path, monkeypatch):
    """The options of a run on small data below `tmp_path`, which becomes the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(models.VISION_NETS, "sparseresnet18", SmallVision)
    monkeypatch.setattr(run_state, "plot_history", lambda run, history: None)
    monkeypatch.setattr(main, "write_run_page", lambda run: None)
    write_index(tmp_path / "list.csv", rows)
    return [*TINY, "--list_train", "list.csv", "--list_val", "list.csv"]


@pytest.fixture
def train(lists, monkeypatch):
    """Runs `main.main` with further options -> its exit code."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["main.py", *lists, *map(str, arguments)])
        return main.main()

    return run


def run_of(ckpt):
    (run,) = ckpt.iterdir()
    return run


def same(a, b):
    assert torture.differences(a, b) == []


@pytest.fixture
def reference(train, tmp_path):
    """A run that nothing interrupted."""
    train("--ckpt", "reference")
    return run_of(tmp_path / "reference")


def test_what_last_holds(reference):
    last = torch.load(reference / "last.pth", weights_only=True)
    assert set(last) == {"format", "options", "state", "nets", "optimizer", "scaler", "random"}
    state = last["state"]
    assert state["epoch"] == 3 and state["iteration"] == 0 and last["options"]["ngf"] == 4
    losses = state["history"]["val"]["loss"]
    assert state["best_loss"] == min(losses) and losses[state["best_epoch"]] == min(losses)
    for net, weights in last["nets"].items():
        latest = torch.load(reference / f"{net}_latest.pth", weights_only=True)
        assert latest.keys() == weights.keys() and all(torch.equal(latest[name], weights[name]) for name in latest)
    assert {group["lr"] for group in last["optimizer"]["param_groups"]} == {1e-4, 1e-5}
    assert sorted(path.name for path in reference.iterdir() if path.name.startswith(".")) == []


def test_stopped_after_every_step(train, reference, tmp_path, monkeypatch, capsys):
    """Every start does one more iteration, of training or evaluation, and is stopped."""
    calls = []

    def check(self):
        calls.append(1)
        if len(calls) == 2:
            raise Stopped(signal.SIGTERM)

    monkeypatch.setattr(StopSignals, "check", check)
    codes = []
    while None not in codes and len(codes) < 20:
        calls.clear()
        codes.append(train("--ckpt", "stopped", "--resume", "1", "--workers", int(len(codes) == 4)))
        if codes[-1] == 143:
            assert "the same command with --resume 1 goes on from there" in capsys.readouterr().out
    assert set(codes[:-1]) == {143} and 7 <= len(codes) < 20
    same(run_of(tmp_path / "stopped"), reference)
    assert steps_of_evaluations(events_of(run_of(tmp_path / "stopped") / "tensorboard")) == [0, 1, 2]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_file(train, reference, tmp_path, monkeypatch, when):
    """The k-th start dies when it renames its k-th file; what it leaves is whole, and the next one goes on."""
    replace, left = os.replace, []

    def replace_or_die(source, target):
        left.append(target)
        if when == "after":
            replace(source, target)
        if len(left) == k:
            raise Killed
        if when == "before":
            replace(source, target)

    monkeypatch.setattr(files.os, "replace", replace_or_die)
    for k in range(1, 200):  # noqa: B007  (read by replace_or_die)
        left.clear()
        try:
            assert train("--ckpt", "killed", "--resume", "1") is None
            break
        except Killed:
            assert torture.damages(tmp_path / "killed") == []
    assert k > 10
    same(run_of(tmp_path / "killed"), reference)


def test_the_best_weights_of_a_killed_run_belong_together(train, lists, reference, monkeypatch):
    """Killed between two nets of an epoch, and evaluated before it is resumed."""
    best = {path.name: path.read_bytes() for path in reference.glob("*_best.pth")}
    (reference / "history_latest.pth").unlink()
    (reference / "sound_best.pth").write_bytes(b"of another epoch")
    (reference / "skipped.json").write_text("{}")
    last = torch.load(reference / "last.pth", weights_only=True)
    last["state"]["best_epoch"] = 2
    torch.save(last, reference / "last.pth")
    (reference / ".last.0123456789abcdef.tmp.pth").write_bytes(b"half")
    train("--mode", "eval", "--id", reference.name, "--ckpt", "reference")
    assert set(best) == {path.name for path in reference.glob("*_best.pth")}
    for net, weights in last["nets"].items():
        found = torch.load(reference / f"{net}_best.pth", weights_only=True)
        assert all(torch.equal(found[name], weights[name]) for name in weights)
    assert not list(reference.glob(".*"))


def test_more_epochs(train, reference, tmp_path, capsys):
    assert train("--ckpt", "reference", "--resume", "1") is None
    assert "has finished its 2 epochs" in capsys.readouterr().out
    train("--ckpt", "reference", "--resume", "1", "--num_epoch", "3")
    assert run_of(tmp_path / "reference") == reference
    train("--ckpt", "three", "--num_epoch", "3")
    same(reference, run_of(tmp_path / "three"))
    assert train("--ckpt", "reference", "--resume", "1", "--num_epoch", "3") is None
    with pytest.raises(InputError, match=r"--num_epoch 3 \(now 2\)"):
        parsed = parse_arguments([*TINY, "--ckpt", "reference", "--num_epoch", "2"])
        check_resumed({**vars(parsed), "num_epoch": 3}, parsed)


def test_options_that_change_the_result_are_named(train, reference):
    before = (reference / "last.pth").read_bytes()
    with pytest.raises(InputError) as error:
        train("--ckpt", "reference", "--resume", "1", "--lr_sound", "0.5", "--lr_steps", "3", "4")
    assert str(error.value) == "--resume 1: the run was begun with --lr_sound 0.001 (now 0.5), --lr_steps 1 (now 3 4)"
    with pytest.raises(InputError, match=r'--weights_sound "" \(now elsewhere.pth\)'):
        train("--ckpt", "reference", "--resume", "1", "--weights_sound", "elsewhere.pth")
    assert (reference / "last.pth").read_bytes() == before


def test_every_option_is_either_kept_or_free(lists):
    """Each option outside MAY_CHANGE is refused when it differs, and only those."""
    options = parse_arguments(lists)
    for action in build_parser()._actions:
        if action.dest == "help":
            continue
        name = action.dest
        stored = {**vars(options), name: "another" if name != "num_epoch" else options.num_epoch - 1}
        if name in MAY_CHANGE:
            check_resumed(stored, options)
        else:
            with pytest.raises(InputError, match=f"begun with --{name} another"):
                check_resumed(stored, options)
    check_resumed({}, parse_arguments([]))  # options that are newer than the run had their defaults


def test_folders_to_resume_from(train, tmp_path, capsys):
    run = find_run(parse_arguments([*TINY, "--ckpt", str(tmp_path / "ckpt")]))
    run.mkdir(parents=True)
    (run / LOCK).write_text("1")
    (run / ".last.0123456789abcdef.tmp.pth").write_bytes(b"half")
    train("--ckpt", "ckpt", "--resume", "1", "--num_epoch", "2")
    assert "a new run begins" in capsys.readouterr().out
    assert not list(run.glob(".*"))
    with pytest.raises(InputError, match="already holds a run; --resume 1 goes on with it, --overwrite 1"):
        train("--ckpt", "ckpt")
    (run / "last.pth").write_bytes((run / "last.pth").read_bytes()[:999])
    with pytest.raises(InputError, match="last.pth: not a whole PyTorch checkpoint"):
        train("--ckpt", "ckpt", "--resume", "1")
    torch.save({"weights": 1}, run / "last.pth")
    with pytest.raises(InputError, match="last.pth: not written by this version"):
        train("--ckpt", "ckpt", "--resume", "1")
    (run / "last.pth").unlink()
    with pytest.raises(InputError, match="holds files but no last.pth"):
        train("--ckpt", "ckpt", "--resume", "1")
    with pytest.raises(InputError, match="--resume 1.*--overwrite 1.*choose one"):
        train("--ckpt", "ckpt", "--resume", "1", "--overwrite", "1")
    assert train("--ckpt", "ckpt", "--overwrite", "1") is None


def test_a_list_that_changed_is_told(train, reference, rows, tmp_path, capsys):
    write_index(tmp_path / "list.csv", rows[1:])
    train("--ckpt", "reference", "--resume", "1", "--num_epoch", "3")
    assert "list.csv has changed since the run began" in capsys.readouterr().out


HOLD = """
from pathlib import Path
from utils.lock import locked
with locked(Path({run!r})):
    print("held", flush=True)
    input()
"""


def test_two_processes_in_one_run(train, tmp_path):
    run = find_run(parse_arguments([*TINY, "--ckpt", str(tmp_path / "ckpt")]))
    command = [sys.executable, "-c", HOLD.format(run=str(run))]
    holder = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    for options in (["--resume", "1"], ["--overwrite", "1"], ["--mode", "eval", "--id", run.name]):
        with pytest.raises(InputError, match=f"process {holder.pid} is training or evaluating there") as error:
            train("--ckpt", "ckpt", *options)
        assert "\n" not in str(error.value)
    holder.kill()
    holder.communicate()
    assert (run / LOCK).exists()
    with locked(run):
        (run / "result").touch()
    assert [path.name for path in run.iterdir()] == ["result"]


def test_a_lock_leaves_no_folder_behind(tmp_path):
    with pytest.raises(InputError, match="bad"), locked(tmp_path / "a" / "b"):
        raise InputError("bad")
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="file: cannot be written"), locked(tmp_path / "file"):
        pass


def test_leftovers(tmp_path):
    ours = [
        tmp_path / "a" / f".x.{16 * 'f'}.tmp.pth",
        tmp_path / f".config.{16 * '0'}.tmp.json",
        tmp_path / f".x.{16 * 'a'}.tmp",
    ]
    others = [tmp_path / "x.tmp.pth", tmp_path / ".x.tmp.pth", tmp_path / ".hidden"]
    for path in [*ours, *others]:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    remove_leftovers(tmp_path)
    assert not any(path.exists() for path in ours) and all(path.exists() for path in others)


@pytest.mark.parametrize("limit", [0, 3_000, 100_000, -100])
def test_a_full_disk(train, reference, limit, tmp_path, capsys):
    """Files may grow to `limit` bytes, a negative one counts from the size of last.pth; output is kept in memory."""
    train("--ckpt", "two")
    run = run_of(tmp_path / "two")
    before = {path: path.read_bytes() for path in run.glob("*.pth")}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit < 0:
        limit += (run / "last.pth").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))  # Python ignores SIGXFSZ: the write fails
    try:
        with pytest.raises(WriteError, match=r"cannot be written \(File too large\)") as error:
            train("--ckpt", "two", "--resume", "1", "--num_epoch", "3")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)
    assert before == {path: path.read_bytes() for path in run.glob("*.pth")}
    assert torture.damages(run) == [] and not list(run.rglob(".*"))
    train("--ckpt", "two", "--resume", "1", "--num_epoch", "3")
    train("--ckpt", "reference", "--resume", "1", "--num_epoch", "3")
    same(run, reference)


def test_overwriting_on_a_full_disk_keeps_the_old_run(train, reference, capsys):
    before = {path: path.read_bytes() for path in reference.glob("*.p*")}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
    try:
        with pytest.raises(WriteError, match="last.pth: cannot be written"):
            train("--ckpt", "reference", "--overwrite", "1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert before == {path: path.read_bytes() for path in reference.glob("*.p*")}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder(train, reference):
    reference.chmod(0o555)
    try:
        with pytest.raises(WriteError, match="cannot be written"):
            train("--ckpt", "reference", "--resume", "1", "--num_epoch", "3")
    finally:
        reference.chmod(0o755)
    assert torture.damages(reference) == []


def test_a_log_on_a_full_disk():
    command = "import sys; from utils.errors import run_command; run_command(lambda: print('x' * 9999, flush=True))"
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-c", command], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert result.returncode == 2
    assert result.stderr == "error: standard output: cannot be written (No space left on device)\n"


def poisoned(monkeypatch, training, call, value):
    """The loss of the `call`-th forward in training, or in evaluation, becomes `value`."""
    forward, calls = SeparationNet.forward, []

    def forward_or_not(self, *arguments):
        result = forward(self, *arguments)
        if self.training == training:
            calls.append(1)
            if len(calls) == call:
                result.loss = result.loss * value
        return result

    monkeypatch.setattr(SeparationNet, "forward", forward_or_not)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number(train, reference, tmp_path, monkeypatch, value):
    with monkeypatch.context() as patch:
        poisoned(patch, training=True, call=5, value=value)
        with pytest.raises(InputError) as error:
            train("--ckpt", "bad")
    run = run_of(tmp_path / "bad")
    message = str(error.value)
    assert f"iteration 4: the loss is {value}" in message and "\n" not in message
    assert f"bad/{run.name}/last.pth (epoch 2, iteration 1)" in message
    assert message.count(".mp3") >= 4 and message.count(".ply") >= 4
    assert torture.damages(run) == []
    train("--ckpt", "bad", "--resume", "1")
    same(run, reference)


def test_weights_that_are_no_numbers_are_not_saved(train, tmp_path, monkeypatch):
    step = torch.optim.Adam.step

    def step_too_far(self, *arguments):
        step(self, *arguments)
        self.param_groups[0]["params"][0].data.view(-1)[0] = math.nan

    monkeypatch.setattr(torch.optim.Adam, "step", step_too_far)
    with pytest.raises(InputError, match=r"weights are NaN or infinite.*last.pth \(epoch 1, iteration 0\)"):
        train("--ckpt", "bad", "--save_iter", "1")
    for path in run_of(tmp_path / "bad").glob("sound_*.pth"):
        assert all(tensor.isfinite().all() for tensor in checkpoint.load(path).values())


def test_a_validation_loss_that_is_no_number_is_never_the_best(train, tmp_path, monkeypatch):
    poisoned(monkeypatch, training=False, call=1, value=math.nan)
    train("--ckpt", "nan", "--num_epoch", "1", "--eval_epoch", "9", "--lr_sound", "0")
    run = run_of(tmp_path / "nan")
    state = checkpoint.load(run / "last.pth")["state"]
    assert math.isnan(state["history"]["val"]["loss"][0]) and state["best_epoch"] == 1
    assert json.loads((run / "metrics.json").read_text())["loss"] == state["best_loss"]

    state = run_state.RunState()
    state.finish_epoch({"loss": math.nan})
    assert state.best_epoch == -1
    state.finish_epoch({"loss": 1.0})
    state.finish_epoch({"loss": math.nan})
    state.finish_epoch({"loss": 1.5})
    state.finish_epoch(None)
    assert (state.best_epoch, state.best_loss) == (1, 1.0)
    state.finish_epoch({"loss": 1.0})  # of equals the later
    assert state.best_epoch == 5


@pytest.fixture
def broken(rows, tmp_path, lists):
    """A list with two recordings that are none, of a cello and a violin."""
    worse = []
    for n, row in enumerate(rows):
        if n in (1, 9):
            path = tmp_path / row.instrument / "broken.mp3"
            path.parent.mkdir()
            path.write_bytes(b"not audio")
            row = IndexRow(str(path), row.frames_path, row.num_frames)
        worse.append(row)
    write_index(tmp_path / "broken.csv", worse)
    return [str(tmp_path / name / "broken.mp3") for name in ("cello", "violin")]


def test_unreadable_files_stop_a_run_unless_tolerated(train, broken, tmp_path, capsys):
    with pytest.raises(InputError, match=r"broken.mp3: cannot be read as audio.*take broken.csv:\d+ out of the list"):
        train("--ckpt", "none", "--list_train", "broken.csv")
    with pytest.raises(InputError, match=r"broken.mp3: .*; one more than --skip_bad_samples 1 passes over"):
        train("--ckpt", "one", "--list_train", "broken.csv", "--skip_bad_samples", "1")
    assert capsys.readouterr().out.count("skipped: ") == 1
    assert train("--ckpt", "two", "--list_train", "broken.csv", "--skip_bad_samples", "2") is None
    run, output = run_of(tmp_path / "two"), capsys.readouterr().out
    skipped = json.loads((run / "skipped.json").read_text())
    assert sorted(skipped) == broken and all("cannot be read as audio" in reason for reason in skipped.values())
    assert output.count("skipped: ") == 2 and "2 unreadable file(s) skipped:\n" in output
    last = checkpoint.load(run / "last.pth")
    assert last["state"]["skipped"] == skipped and all(map(math.isfinite, last["state"]["history"]["train"]["loss"]))
    train("--ckpt", "again", "--list_train", "broken.csv", "--skip_bad_samples", "3", "--workers", "1")
    same(run, run_of(tmp_path / "again"))


def test_resumed_with_unreadable_files(train, broken, tmp_path, monkeypatch):
    """Batches that are smaller or passed over are counted as any other: a resumed run starts at the right one."""
    scores = dict.fromkeys((*SCORES, "sdr_improvement", "si_sdr_improvement"), 0.0)
    counts = {"n_mixtures": 1, "n_scored": 1, "n_skipped": 0}
    monkeypatch.setattr(main, "evaluate", lambda *arguments, epoch: ({"loss": 1 / (epoch + 1), **scores, **counts}, {}))
    options = ["--list_train", "broken.csv", "--skip_bad_samples", "2", "--batch_size_per_gpu", "2", "--save_iter", "0"]
    train("--ckpt", "whole", *options)
    check, calls = StopSignals.check, []

    def stop_now_and_then(self):
        calls.append(1)
        if len(calls) % 4 == 0:
            raise Stopped(signal.SIGINT)
        check(self)

    monkeypatch.setattr(StopSignals, "check", stop_now_and_then)
    codes = [train("--ckpt", "parts", "--resume", "1", *options) for _ in range(6)]
    assert codes[:2] == [130, 130] and codes[-1] is None
    same(run_of(tmp_path / "parts"), run_of(tmp_path / "whole"))


def test_evaluation_leaves_out_what_cannot_be_read(train, broken, reference, capsys):
    options = ["--ckpt", "reference", "--mode", "eval", "--id", reference.name, "--num_val", "-1"]
    train(*options, "--list_val", "list.csv")
    whole = json.loads((reference / "metrics.json").read_text())
    assert (whole["n_mixtures"], whole["n_skipped"], whole["skipped"]) == (12, 0, [])
    with pytest.raises(InputError, match="broken.mp3"):
        train(*options, "--list_val", "broken.csv")
    capsys.readouterr()
    train(*options, "--list_val", "broken.csv", "--skip_bad_samples", "2")
    metrics, output = json.loads((reference / "metrics.json").read_text()), capsys.readouterr().out
    skipped = metrics["skipped"]
    assert metrics["n_mixtures"] + metrics["n_skipped"] == 12 and 2 <= metrics["n_skipped"] == len(skipped)
    assert {1, 9} <= {one["index"] for one in skipped} and {one["file"] for one in skipped} == set(broken)
    assert f"{len(skipped)} unreadable and left out" in output and "2 unreadable file(s) skipped:" in output


def test_a_list_of_which_nothing_can_be_read(train, rows, tmp_path, reference):
    bad = [IndexRow(row.audio_path, str(tmp_path / row.instrument), 1) for row in rows]
    for row in bad:
        write_cloud(tmp_path / row.instrument / "00000.ply", torch.zeros(1, 3).numpy())
        (tmp_path / row.instrument / "00000.ply").write_bytes(b"")
    write_index(tmp_path / "bad.csv", bad)
    with pytest.raises(InputError, match="epoch 1: not one batch of bad.csv could be read"):
        train("--ckpt", "bad", "--list_train", "bad.csv", "--skip_bad_samples", "9")
    with pytest.raises(InputError, match="not one mixture could be read; the last: .*00000.ply"):
        train(
            "--ckpt",
            "reference",
            "--mode",
            "eval",
            "--id",
            reference.name,
            "--list_val",
            "bad.csv",
            "--skip_bad_samples",
            "9",
        )


def test_curves_go_on(train, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        poisoned(patch, training=True, call=6, value=math.nan)
        with pytest.raises(InputError):
            train("--ckpt", "curves", "--save_iter", "0")
    train("--ckpt", "curves", "--resume", "1")
    events = events_of(run_of(tmp_path / "curves") / "tensorboard")
    assert [event.step for event in events.Scalars("train/loss")] == [0, 1, 2, 3, 4, 5]
    assert steps_of_evaluations(events) == [0, 1, 2]
    truths = [tag for tag in events.Tags()["audio"] if tag.endswith("/gt1")]
    assert [[event.step for event in events.Audio(tag)] for tag in truths] == 2 * [[0, 2]]  # once a process
    row, columns = hparams_of(events)
    assert row["ngf"].number_value == 4 and "best/sdr" in {info.name.tag for info in columns.metric_infos}


def steps_of_evaluations(events):
    """The steps of a log at which mixtures were evaluated: the same for every curve, sound and picture."""
    scalars = [tag for tag in events.Tags()["scalars"] if tag.startswith(("val/", "best/"))]
    sounds = [tag for tag in events.Tags()["audio"] if "/pred" in tag]
    pictures = [tag for tag in events.Tags()["images"] if "/pred" in tag]
    assert len(scalars) == 19 and len(sounds) == 4 and len(pictures) == 8
    read = [*map(events.Scalars, scalars), *map(events.Audio, sounds), *map(events.Images, pictures)]
    (steps,) = {tuple(event.step for event in found) for found in read}
    return list(steps)


def test_a_run_without_a_log(train, reference, tmp_path):
    train("--ckpt", "none", "--tensorboard", "0")
    run = run_of(tmp_path / "none")
    train("--ckpt", "none", "--mode", "eval", "--id", run.name, "--tensorboard", "0")
    assert not (run / "tensorboard").exists()
    train("--ckpt", "none", "--overwrite", "1", "--tensorboard", "0")
    same(run, reference)
    train("--ckpt", "none", "--resume", "1", "--num_epoch", "3")  # which may begin to log on the way
    events = events_of(run / "tensorboard")
    assert steps_of_evaluations(events) == [3] and hparams_of(events)[0]["ngf"].number_value == 4


def test_the_log_of_an_evaluation_on_a_full_disk(train, reference):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(
            WriteError, match=r"eval/events.out.tfevents.*: cannot be written \(File too large\)"
        ) as error:
            train("--ckpt", "reference", "--mode", "eval", "--id", reference.name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value) and torture.damages(reference) == []


LAUNCH = """
import sys
sys.path[:0] = {paths!r}
import models
from test_resume import SmallVision
models.VISION_NETS["sparseresnet18"] = SmallVision
import utils.run_state
utils.run_state.plot_history = lambda run, history: None
import main
main.write_run_page = lambda run: None
from utils.errors import run_command
run_command(main.main)
"""


@pytest.fixture
def launch(lists, tmp_path):
    """Starts main.py with the small vision net as a process of a group of its own."""
    (tmp_path / "launch.py").write_text(LAUNCH.format(paths=[str(ROOT / place) for place in ("", "scripts", "tests")]))

    def start(*arguments):
        command = [sys.executable, "launch.py", *lists, "--disp_iter", "1", *arguments]
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return subprocess.Popen(command, cwd=tmp_path, process_group=0, **pipes)

    return start


def until(process, text):
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"ended without {text!r}: {process.stderr.read()}")


def test_signals_to_the_whole_group(launch, reference, tmp_path):
    """As from a terminal: the loader's workers get them, too. Then a resumed run dies of SIGKILL."""
    process = launch("--ckpt", "signals", "--workers", "1")
    until(process, "epoch 1/2 [1/3]")
    os.killpg(process.pid, signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert errors == "SIGTERM: stopping after this iteration; a second signal ends it at once\n"
    assert "the same command with --resume 1 goes on from there" in output
    process = launch("--ckpt", "signals", "--resume", "1")
    until(process, "goes on with epoch 1, after")
    process.kill()
    process.communicate()
    assert torture.damages(tmp_path / "signals") == []
    process = launch("--ckpt", "signals", "--resume", "1")
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 0, errors
    same(run_of(tmp_path / "signals"), reference)


def test_a_second_signal_ends_at_once(tmp_path):
    code = (
        "import time; from utils.signals import StopSignals\n"
        "with StopSignals() as stop: print('ready', flush=True); time.sleep(60); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert "SIGINT: stopping" in process.stderr.readline()
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    process.communicate()


def test_the_handlers_that_were_there_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals() as stop:
        stop.check()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        with pytest.raises(Stopped, match="SIGTERM") as stopped:
            stop.check()
        assert stopped.value.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_torture_finds_what_is_wrong(reference, tmp_path):
    import shutil

    copy = tmp_path / "copy" / reference.name
    shutil.copytree(reference, copy)
    same(copy, reference)
    assert torture.damages(copy) == []
    (copy / "metrics.csv").write_text("a,b\n1\n")
    (copy / "metrics.json").write_text("{")
    (copy / "sound_best.pth").write_bytes((copy / "sound_best.pth").read_bytes()[:-20])
    (copy / "sound.tmp.pth").write_bytes(b"")
    assert sorted(damage.partition(":")[0] for damage in torture.damages(copy)) == [
        *("metrics.csv", "metrics.json", "sound.tmp.pth", "sound_best.pth")
    ]
    last = torch.load(reference / "last.pth", weights_only=True)
    last["state"]["history"]["train"]["loss"][0] += 1e-12
    torch.save(last, reference / "last.pth")
    shutil.rmtree(copy)
    assert list(torture.unequal({"a": [1, math.nan]}, {"a": [1, math.nan], "b": 2}, "")) == ["/b"]
    assert list(torture.unequal(torch.zeros(2), torch.tensor([0, 1.0]), "/x")) == ["/x"]
