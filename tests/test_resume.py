"""Runs that are stopped or killed: whole files, and in the end the same run to the last bit."""

from __future__ import annotations

import argparse
import math
import os
import shutil
import signal
from contextlib import suppress

import pytest
import torch
import torture
from test_main import events_of, hparams_of
from tiny_runs import TINY, poisoned, run_of, same

from arguments import build_parser, parse_arguments
from dataset.index import write_index
from main import find_run
from runs.folder import MAY_CHANGE, check_resumed
from runs.lock import LOCK
from runs.state import FORMAT, RunState
from runs.tensorboard_log import CURVE_TAGS
from utils import checkpoint, files
from utils.errors import InputError
from utils.files import remove_leftovers
from utils.signals import Stopped, StopSignals


def test_what_last_holds(whole_run):
    last = torch.load(whole_run / "last.pth", weights_only=True)
    assert set(last) == {"format", "options", "state", "nets", "optimizer", "scaler", "random"}
    state = last["state"]
    assert state["epoch"] == 3 and state["iteration"] == 0 and last["options"]["ngf"] == 4
    losses = [row["loss"] for row in state["history"]["val"]]
    assert state["best_loss"] == min(losses) and losses[state["best_epoch"]] == min(losses)
    for net, weights in last["nets"].items():
        latest = torch.load(whole_run / f"{net}_latest.pth", weights_only=True)
        assert latest.keys() == weights.keys() and all(torch.equal(latest[name], weights[name]) for name in latest)
    assert {group["lr"] for group in last["optimizer"]["param_groups"]} == {1e-4, 1e-5}
    assert sorted(path.name for path in whole_run.iterdir() if path.name.startswith(".")) == []


def test_stopped_after_every_step(train, whole_run, tmp_path, monkeypatch, capsys):
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
            assert "the same command with --resume 1 resumes it" in capsys.readouterr().out
    assert set(codes[:-1]) == {143} and 7 <= len(codes) < 20
    same(run_of(tmp_path / "stopped"), whole_run)
    assert steps_of_evaluations(events_of(run_of(tmp_path / "stopped") / "tensorboard")) == [0, 1, 2]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_file(train, whole_run, tmp_path, monkeypatch, when):
    """The k-th start dies when it renames its k-th file; what it leaves is whole, and the next one resumes."""
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
    same(run_of(tmp_path / "killed"), whole_run)


@pytest.mark.parametrize("history", ["missing", "of the epoch before, by a clock that was ahead"])
def test_the_best_weights_of_a_killed_run_belong_together(train, tiny_options, whole_run, history):
    """Killed between two nets of an epoch, and evaluated before it is resumed."""
    best = {path.name: path.read_bytes() for path in whole_run.glob("*_best.pth")}
    path = whole_run / "history_latest.pth"
    if history == "missing":
        path.unlink()
    else:
        content = torch.load(path, weights_only=True)
        torch.save({part: rows[:-1] for part, rows in content.items()}, path)
        os.utime(path, (2**32, 2**32))
    (whole_run / "sound_best.pth").write_bytes(b"of another epoch")
    (whole_run / "skipped.json").write_text("{}")
    last = torch.load(whole_run / "last.pth", weights_only=True)
    last["state"]["best_epoch"] = 2
    torch.save(last, whole_run / "last.pth")
    (whole_run / ".last.0123456789abcdef.tmp.pth").write_bytes(b"half")
    train("--mode", "eval", "--id", whole_run.name, "--ckpt", "reference")
    assert set(best) == {path.name for path in whole_run.glob("*_best.pth")}
    for net, weights in last["nets"].items():
        found = torch.load(whole_run / f"{net}_best.pth", weights_only=True)
        assert all(torch.equal(found[name], weights[name]) for name in weights)
    assert not list(whole_run.glob(".*"))


def test_more_epochs(train, whole_run, tmp_path, capsys):
    assert train("--ckpt", "reference", "--resume", "1") is None
    assert "finished, epoch 2 of 2" in capsys.readouterr().out
    train("--ckpt", "reference", "--resume", "1", "--num_epoch", "3")
    assert run_of(tmp_path / "reference") == whole_run
    train("--ckpt", "three", "--num_epoch", "3")
    same(whole_run, run_of(tmp_path / "three"))
    assert train("--ckpt", "reference", "--resume", "1", "--num_epoch", "3") is None
    with pytest.raises(InputError, match=r"--num_epoch 3 \(now 2\)"):
        parsed = parse_arguments([*TINY, "--ckpt", "reference", "--num_epoch", "2"])
        check_resumed({"format": FORMAT, "options": {**vars(parsed), "num_epoch": 3}}, vars(parsed))


def test_options_that_change_the_result_are_named(train, whole_run):
    before = (whole_run / "last.pth").read_bytes()
    with pytest.raises(InputError) as error:
        train("--ckpt", "reference", "--resume", "1", "--lr_sound", "0.5", "--lr_steps", "3", "4")
    assert str(error.value) == "--resume 1: the run was begun with --lr_sound 0.001 (now 0.5), --lr_steps 1 (now 3 4)"
    with pytest.raises(InputError, match=r'--weights_sound "" \(now elsewhere.pth\)'):
        train("--ckpt", "reference", "--resume", "1", "--weights_sound", "elsewhere.pth")
    assert (whole_run / "last.pth").read_bytes() == before


def another(action, value):
    """A value that an option may have too."""
    if action.nargs == "*":
        return [7] if action.type else list(action.choices or ["another"])[:1]
    tries = action.choices or ["another"] if action.type is None else (value + 1, value - 1, value / 2, 0, 0.5, 1)
    for other in tries:
        with suppress(argparse.ArgumentTypeError):
            if other != value and (action.type or str)(str(other)) is not None:
                return other
    raise AssertionError(f"nothing but {value} for {action.dest}")


def test_every_option_is_either_kept_or_free(tiny_options):
    """Each option outside MAY_CHANGE is refused when it differs, and only those."""
    options = parse_arguments(tiny_options)
    for action in build_parser()._actions:
        if action.dest == "help":
            continue
        name = action.dest
        other = another(action, getattr(options, name))
        stored = {**vars(options), name: other if name != "num_epoch" else options.num_epoch - 1}
        if name in MAY_CHANGE:
            check_resumed({"format": FORMAT, "options": stored}, vars(options))
        else:
            with pytest.raises(InputError, match=f"begun with --{name} "):
                check_resumed({"format": FORMAT, "options": stored}, vars(options))
    # Options that are newer than the run had their defaults.
    check_resumed({"format": FORMAT, "options": {}}, vars(parse_arguments([])))


def test_folders_to_resume_from(train, tmp_path, capsys):
    run = find_run(parse_arguments([*TINY, "--ckpt", str(tmp_path / "ckpt")]))
    run.mkdir(parents=True)
    (run / LOCK).write_text("1")
    (run / ".last.0123456789abcdef.tmp.pth").write_bytes(b"half")
    train("--ckpt", "ckpt", "--resume", "1", "--num_epoch", "2")
    assert "a new run begins" in capsys.readouterr().out
    assert not list(run.glob(".*"))
    with pytest.raises(InputError, match="already holds a run; --resume 1 resumes it, --overwrite 1"):
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


@pytest.mark.parametrize(("frames", "told"), [(1, False), (2, True)])
def test_a_run_from_before_frames_were_normalised_apart(train, tmp_path, capsys, frames, told):
    options = ("--ckpt", "old", "--num_frames", frames)
    train(*options, "--num_epoch", "1")
    last = run_of(tmp_path / "old") / "last.pth"
    checkpoint.save({**torch.load(last, weights_only=True), "format": 1}, last)
    capsys.readouterr()
    for is_old in (True, False):  # and once resumed it is a run like others
        train(*options, "--resume", "1", "--num_epoch", 2 if is_old else 3)
        assert ("frames of a source are now normalised apart" in capsys.readouterr().out) == (told and is_old)
    assert torch.load(run_of(tmp_path / "old") / "last.pth", weights_only=True)["state"]["epoch"] == 4


def test_a_run_without_an_id_is_resumed_under_its_earlier_name(tmp_path):
    options = parse_arguments([*TINY, "--id", "", "--resume", "1", "--ckpt", str(tmp_path)])
    assert find_run(options).name.startswith("-2mix-only_depth-")
    earlier = tmp_path / find_run(options).name[1:]
    shorter = earlier.with_name(earlier.name.removesuffix("2") + "1")
    for run in (shorter, earlier):  # the one with as many epochs is taken where both are there
        run.mkdir()
        (run / "last.pth").touch()
        assert find_run(options) == run


def test_a_folder_that_is_deleted_while_it_is_trained_is_written_again(train, tmp_path, monkeypatch, capsys):
    finish_epoch = RunState.finish_epoch

    def delete_and_finish(self, summary):
        if self.epoch == 1:
            shutil.rmtree(tmp_path / "gone")
        finish_epoch(self, summary)

    monkeypatch.setattr(RunState, "finish_epoch", delete_and_finish)
    train("--ckpt", "gone")
    assert "the folder was emptied during training" in capsys.readouterr().out
    found = {path.name for path in run_of(tmp_path / "gone").iterdir()}
    assert {"config.json", "last.pth", "history_latest.pth", "vision_best.pth", "metrics.json"} <= found


@pytest.mark.parametrize("name", [".", "..", "a/..", "../.."])
def test_what_is_evaluated_is_a_run_and_not_all_of_them(tmp_path, name):
    (tmp_path / "ckpt" / "a").mkdir(parents=True)
    with pytest.raises(InputError, match="--id .*: expected the name of a folder in"):
        find_run(parse_arguments(["--mode", "eval", "--id", name, "--ckpt", str(tmp_path / "ckpt")]))


def test_a_list_that_changed_is_told(train, whole_run, rows, tmp_path, capsys):
    write_index(tmp_path / "list.csv", rows[1:])
    train("--ckpt", "reference", "--resume", "1", "--num_epoch", "3")
    assert "list.csv has changed since the run began" in capsys.readouterr().out


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
    assert set(scalars) == set(CURVE_TAGS) and len(sounds) == 4 and len(pictures) == 8
    read = [*map(events.Scalars, scalars), *map(events.Audio, sounds), *map(events.Images, pictures)]
    (steps,) = {tuple(event.step for event in found) for found in read}
    return list(steps)


def test_a_run_without_a_log(train, whole_run, tmp_path):
    train("--ckpt", "none", "--tensorboard", "0")
    run = run_of(tmp_path / "none")
    train("--ckpt", "none", "--mode", "eval", "--id", run.name, "--tensorboard", "0")
    assert not (run / "tensorboard").exists()
    train("--ckpt", "none", "--overwrite", "1", "--tensorboard", "0")
    same(run, whole_run)
    train("--ckpt", "none", "--resume", "1", "--num_epoch", "3")  # which may begin to log on the way
    events = events_of(run / "tensorboard")
    assert steps_of_evaluations(events) == [3] and hparams_of(events)[0]["ngf"].number_value == 4


def test_torture_finds_what_is_wrong(whole_run, tmp_path):
    import shutil

    copy = tmp_path / "copy" / whole_run.name
    shutil.copytree(whole_run, copy)
    same(copy, whole_run)
    assert torture.damages(copy) == []
    (copy / "metrics.csv").write_text("a,b\n1\n")
    (copy / "metrics.json").write_text("{")
    (copy / "sound_best.pth").write_bytes((copy / "sound_best.pth").read_bytes()[:-20])
    (copy / "sound.tmp.pth").write_bytes(b"")
    assert sorted(damage.partition(":")[0] for damage in torture.damages(copy)) == [
        *("metrics.csv", "metrics.json", "sound.tmp.pth", "sound_best.pth")
    ]
    last = torch.load(whole_run / "last.pth", weights_only=True)
    last["state"]["history"]["train"][0]["loss"] += 1e-12
    torch.save(last, whole_run / "last.pth")
    shutil.rmtree(copy)
    assert list(torture.unequal({"a": [1, math.nan]}, {"a": [1, math.nan], "b": 2}, "")) == ["/b"]
    assert list(torture.unequal(torch.zeros(2), torch.tensor([0, 1.0]), "/x")) == ["/x"]
