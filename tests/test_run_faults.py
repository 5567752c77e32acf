"""Runs that meet losses and weights that are no numbers, and samples that cannot be read."""

from __future__ import annotations

import json
import math
import signal

import pytest
import torch
import torture
from conftest import write_cloud
from tiny_runs import poisoned, run_of, same

import main
from dataset.index import IndexRow, write_index
from runs import state as run_state
from utils import checkpoint
from utils.errors import InputError
from utils.metrics import COLUMNS, METRICS
from utils.signals import Stopped, StopSignals

IMPROVEMENTS = [f"{name}_improvement" for name, metric in METRICS.items() if metric.of_mixture]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number(train, whole_run, tmp_path, monkeypatch, value):
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
    same(run, whole_run)


@pytest.mark.parametrize("amp", ["no", "bf16", "fp16"])
@pytest.mark.parametrize("loss", ["bce", "l1"])
def test_a_run_that_diverges(train, tmp_path, amp, loss):
    """Masks of NaN reach the loss, and PyTorch's binary cross entropy takes none."""
    options = ["--lr_sound", "1e30", "--amp", amp, "--loss", loss, "--binary_mask", str(int(loss == "bce"))]
    with pytest.raises(InputError, match=r"iteration \d+: the loss is (nan|inf); .*last.pth \(epoch 1.*samples: .*mp3"):
        train("--ckpt", "bad", "--optimizer", "sgd", *options)
    assert torture.damages(run_of(tmp_path / "bad")) == []


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
    assert math.isnan(state["history"]["val"][0]["loss"]) and state["best_epoch"] == 1
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
def broken(rows, tmp_path, tiny_options):
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
    with pytest.raises(InputError, match=r"broken.mp3: cannot be read as audio.*remove broken.csv:\d+ from the list"):
        train("--ckpt", "none", "--list_train", "broken.csv")
    with pytest.raises(InputError, match=r"broken.mp3: .*; this is one more than --skip_bad_samples 1 allows"):
        train("--ckpt", "one", "--list_train", "broken.csv", "--skip_bad_samples", "1")
    assert capsys.readouterr().out.count("skipped: ") == 1
    assert train("--ckpt", "two", "--list_train", "broken.csv", "--skip_bad_samples", "2") is None
    run, output = run_of(tmp_path / "two"), capsys.readouterr().out
    skipped = json.loads((run / "skipped.json").read_text())
    assert sorted(skipped) == broken and all("cannot be read as audio" in reason for reason in skipped.values())
    assert output.count("skipped: ") == 2 and "2 unreadable file(s) skipped:\n" in output
    last = checkpoint.load(run / "last.pth")
    assert last["state"]["skipped"] == skipped and all(
        math.isfinite(row["loss"]) for row in last["state"]["history"]["train"]
    )
    train("--ckpt", "again", "--list_train", "broken.csv", "--skip_bad_samples", "3", "--workers", "1")
    same(run, run_of(tmp_path / "again"))


def test_resumed_with_unreadable_files(train, broken, tmp_path, monkeypatch):
    """Batches that are smaller or passed over are counted as any other: a resumed run starts at the right one."""
    scores = dict.fromkeys((*COLUMNS, *IMPROVEMENTS), 0.0)
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


def test_evaluation_leaves_out_what_cannot_be_read(train, broken, whole_run, capsys):
    options = ["--ckpt", "reference", "--mode", "eval", "--id", whole_run.name, "--num_val", "-1"]
    train(*options, "--list_val", "list.csv")
    whole = json.loads((whole_run / "metrics.json").read_text())
    assert (whole["n_mixtures"], whole["n_skipped"], whole["skipped"]) == (12, 0, [])
    with pytest.raises(InputError, match="broken.mp3"):
        train(*options, "--list_val", "broken.csv")
    capsys.readouterr()
    train(*options, "--list_val", "broken.csv", "--skip_bad_samples", "2")
    metrics, output = json.loads((whole_run / "metrics.json").read_text()), capsys.readouterr().out
    skipped = metrics["skipped"]
    assert metrics["n_mixtures"] + metrics["n_skipped"] == 12 and 2 <= metrics["n_skipped"] == len(skipped)
    assert {1, 9} <= {one["index"] for one in skipped} and {one["file"] for one in skipped} == set(broken)
    assert f"{len(skipped)} unreadable and left out" in output and "2 unreadable file(s) skipped:" in output


def test_a_list_of_which_nothing_can_be_read(train, rows, tmp_path, whole_run):
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
            whole_run.name,
            "--list_val",
            "bad.csv",
            "--skip_bad_samples",
            "9",
        )
