"""Bad options, checkpoints and files given to main.py: each works, or ends in one line that names what is wrong, with
exit code 2, and leaves every file as it was. Most in this process, a few through a process of its own.
"""

from __future__ import annotations

import csv
import json
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from bad_files import CLOUDS, RATE, RECORDINGS, RGB, WORKS, XYZ, cloud, recording, sound
from conftest import ROOT, write_cloud
from test_main import TINY, fails_in_one_line

import main as command
from arguments import build_parser, parse_arguments
from dataset.eval_list import describe
from dataset.index import IndexRow, write_index
from dataset.music import SourceDraw
from dataset.settings import Window
from from_options import build_model
from utils import checkpoint
from utils.errors import run_command

# Command lines: every option with values out of its range; those that name files come with what is at the path.
OUT_OF_RANGE = {
    "num_mix": ["1", "-1", "two", "2.5", "", "5"],
    "instruments": ["flute"],  # without a label net
    "distinct": ["2", "-1", "yes"],
    "conditioning_report": ["2", "-1", "yes"],
    "arch_sound": ["unet4", ""],
    "arch_vision": ["resnet18"],
    "arch_synthesizer": ["concat"],
    "num_channels": ["0", "-3", "1000000000"],
    "ngf": ["0", "1000000000"],
    "num_frames": ["0", "nan", "5", "9" * 18],
    "stride_frames": ["0", "-1"],
    "frame_pool": ["minpool"],
    "vision_activation": ["gelu"],
    "sound_activation": ["Sigmoid"],
    "output_activation": ["elu", "relu"],
    "binary_mask": ["2", "yes"],
    "mask_thres": ["1.5", "-0.1", "nan"],
    "loss": ["l3", "l1"],
    "weighted_loss": ["-1"],
    "weight_scale": ["0", "-1", "nan", "inf"],
    "log_freq": ["on"],
    "log_bins": ["1", "300", "1048576"],
    "masks": ["hard"],
    "freeze": ["fusion"],
    "num_gpus": ["0", "2.5"],
    "amp": ["fp8", "1"],
    "tf32": ["1", "train"],
    "deterministic": ["2", "yes"],
    "channels_last": ["1", "maybe"],
    "compile": ["2"],
    "grad_checkpoint": ["yes"],
    "accumulate": ["0", "-1"],
    "sync_bn": ["2"],
    "batch_size_per_gpu": ["0", "1e3"],
    "workers": ["-1", "some"],
    "num_val": ["-2", "0"],
    "audLen": ["1", "8192", "-65535", "99999999999999"],
    "audRate": ["0", "-11025", "11025.5", "1000000000"],
    "stft_frame": ["1", "16384", "99999999999"],
    "stft_hop": ["0", "512"],
    "voxel_size": ["0", "-0.02", "inf", "nan", "1000"],
    "rgbs_feature": ["3"],
    "frameRate": ["0", "inf"],
    "mode": ["test"],
    "seed": ["-1", "4294967296"],
    "device": ["tpu"],
    "sparse_backend": ["spconv"],
    "overwrite": ["2"],
    "resume": ["2", "yes"],
    "save_iter": ["-1", "x"],
    "skip_bad_samples": ["-1", "1.5"],
    "disp_iter": ["0"],
    "eval_epoch": ["0"],
    "bss_eval": ["slow"],
    "num_vis": ["-1"],
    "tensorboard": ["2", "yes"],
    "dup_trainset": ["0", "99999999999999999999", "1000000000000000000"],
    "num_epoch": ["0", "-1", "9223372036854775807"],
    "lr_vision": ["-1", "inf"],
    "lr_sound": ["-1", "nan"],
    "lr_synthesizer": ["-1e-9", "fast"],
    "lr_steps": ["0", "1,2"],
    "optimizer": ["lamb"],
    "beta1": ["1", "-0.1"],
    "weight_decay": ["-1"],
    "augment": ["-1", "11"],
}
LONG = "n" * 300
PATHS = [
    ("id", LONG, f"{LONG}.*File name too long"),
    ("ckpt", LONG, f"{LONG}.*File name too long"),
    ("ckpt", "list.csv", "list.csv/bad.*list.csv: a file, not a folder"),
    ("list_train", "nowhere.csv", "nowhere.csv: cannot be read"),
    ("list_train", ".", ".: cannot be read .a folder, not a file"),
    ("list_train", LONG, f"{LONG}: cannot be read .File name too long"),
    ("list_val", "nowhere.csv", "nowhere.csv: cannot be read"),
    ("list_val", "weights.pth", "weights.pth: not a CSV text file"),
    ("eval_list", "nowhere.csv", "nowhere.csv: cannot be read .no such file"),
    ("eval_list", "weights.pth", "weights.pth: not a CSV text file"),
    ("eval_list", "list.csv", "list.csv:2: not a row of an evaluation list"),
    ("cache", "list.csv", "list.csv: cannot be written .not a folder.; .*leave --cache out"),
    ("weights_sound", "nowhere.pth", "nowhere.pth: cannot be read"),
    ("weights_vision", "list.csv", "list.csv: not a whole PyTorch checkpoint"),
    ("weights_synthesizer", ".", ".: cannot be read .a folder, not a file"),
    ("weights_synthesizer", "weights.pth", "weights.pth: weights of another architecture or size"),
    ("init", "nowhere", "nowhere: no such folder"),
    ("init", "list.csv", "list.csv: a file, not a folder"),
    ("init", "person_1", "person_1/sound_best.pth: cannot be read .no such file"),
    ("pretrained_vision", "list.csv", "list.csv: not a whole PyTorch checkpoint"),
    ("pretrained_vision", "weights.pth", "weights.pth: expected a pretrained classifier"),
    ("pretrained_vision", "classifier.pth", "classifier.pth: not a sparse ResNet18"),
    ("pretrained_vision", LONG, f"{LONG}.*File name too long"),
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory, good_rows):
    """A folder with a list of two rows, weights that fit nothing, and a run that was evaluated once."""
    root = tmp_path_factory.mktemp("bad")
    recording(sound())(root / "a.wav")
    (root / "cello").mkdir()
    (root / "a.wav").rename(root / "cello" / "a.wav")
    for frame in range(3):
        write_cloud(root / "person_1" / f"{frame:05d}.ply", XYZ, RGB)
    write_index(root / "list.csv", [IndexRow("cello/a.wav", "person_1", 3), *good_rows])
    checkpoint.save({"weight": torch.zeros(3)}, root / "weights.pth")
    checkpoint.save({"state_dict": {1: torch.zeros(3), "conv1.kernel": 3}}, root / "classifier.pth")
    options = parse_arguments([*TINY, "--id", "run"])
    model = build_model(options)
    for net in command.NETS:
        checkpoint.save(getattr(model, net).state_dict(), root / "ckpt" / "run" / f"{net}_best.pth")
    return root


def run_main(monkeypatch, capfd, root, *arguments) -> subprocess.CompletedProcess:
    """`python main.py` with a tiny model, in this process: its exit code and what it printed, decoders included."""
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["main.py", *TINY, "--list_train", "list.csv", "--list_val", "list.csv"])
    sys.argv += ["--num_vis", "1", *map(str, arguments)]
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        run_command(command.main)
    return subprocess.CompletedProcess(sys.argv, end.value.code or 0, *capfd.readouterr())


EVAL = ("--mode", "eval", "--id", "run")
TRAIN = ("--id", "bad", "--dup_trainset", "1", "--num_epoch", "1", "--batch_size_per_gpu", "2")


def files(folder) -> dict:
    """What tells that a file was written again or replaced."""
    found = {path: path.stat() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {path: (state.st_ino, state.st_size, state.st_mtime_ns) for path, state in found.items()}


def fails_and_leaves(result, before: dict, folder, *patterns: str) -> None:
    """One line with all patterns, exit code 2, and every file as it was."""
    fails_in_one_line(result)
    for pattern in patterns:
        assert re.search(pattern, result.stderr), result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    assert files(folder) == before


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in OUT_OF_RANGE for value in OUT_OF_RANGE[name]])
def test_options_out_of_range(tree, monkeypatch, capfd, name, value):
    before = files(tree)
    result = run_main(monkeypatch, capfd, tree, *TRAIN, f"--{name}={value}")
    fails_and_leaves(result, before, tree, rf"--{name}\b", re.escape(value))


@pytest.mark.parametrize(("name", "value", "expected"), PATHS)
def test_options_that_name_other_files(tree, monkeypatch, capfd, name, value, expected):
    before = files(tree)
    result = run_main(monkeypatch, capfd, tree, *TRAIN, f"--{name}={value}")
    fails_and_leaves(result, before, tree, expected)


def test_no_option_is_left_out():
    names = {action.dest for action in build_parser()._actions} - {"help"}
    assert names == set(OUT_OF_RANGE) | {name for name, _, _ in PATHS}


MIXTURES = [
    ("whole", {}, WORKS),
    ("far window", {"window_start_1": 2**40}, WORKS),  # the recording starts over
    ("negative window", {"window_start_1": -5}, "metrics.csv:2: window_start_1 is -5, expected 0 to"),
    ("endless window", {"window_start_2": 10**30}, "metrics.csv:2: window_start_2 is 1000000"),
    ("half a window", {"window_start_2": 1.5}, "metrics.csv:2: not a row of an evaluation list"),
    ("negative frame", {"frames_1": "-1"}, "person_1/-0001.ply: .*no such file"),
    ("missing frame", {"frames_1": "7"}, "person_1/00007.ply: .*no such file"),
    ("two frames", {"frames_1": "1 2"}, r"error: \S*metrics.csv:2: frames_1 holds 2 frame\(s\), but --num_frames is 1"),
    ("no frame", {"frames_1": ""}, "metrics.csv:2: frames_1 holds 0 frame"),
    ("missing recording", {"audio_1": "cello/b.wav"}, "cello/b.wav: .*no such file.*metrics.csv:2"),
    ("another window", {"window_samples": 99}, r"error: \S*metrics.csv:2: window_samples is 99, but --audLen is 8191"),
    ("more sources", {"num_sources": 3}, r"error: \S*metrics.csv:2: num_sources is 3, but --num_mix is 2"),
]


@pytest.mark.parametrize(("name", "change", "expected"), MIXTURES, ids=[case[0] for case in MIXTURES])
def test_evaluation_lists(tree, tmp_path, monkeypatch, capfd, good_rows, name, change, expected):
    draws = [SourceDraw(IndexRow("cello/a.wav", "person_1", 3), 5, (1,)), SourceDraw(good_rows[0], 5, (1,))]
    row = describe(draws, Window(8191, RATE)) | change
    with open(tmp_path / "metrics.csv", "w", newline="") as file:
        csv.writer(file).writerows([row.keys(), row.values()])
    before = files(tree)
    result = run_main(monkeypatch, capfd, tree, *EVAL, "--eval_list", tmp_path / "metrics.csv", "--num_vis", "0")
    if expected:
        fails_and_leaves(result, before, tree, expected)
    else:
        assert result.returncode == 0 and result.stderr == "", result.stderr


# Checkpoints and the configuration of a run: what stands at sound_best.pth or config.json.


class RunsCode:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("code_ran",))


def saved(content):
    return lambda path, good: torch.save(content, path)


def wider(path, good):
    """The sound net of a model with 5 channels, not 4."""
    checkpoint.save(build_model(parse_arguments([*TINY, "--num_channels", "5"])).sound.state_dict(), path)


def diverged(path, good):
    weights = torch.load(path, weights_only=True)
    weights["bn0.weight"] *= np.nan
    checkpoint.save(weights, path)


NO_CHECKPOINT = "sound_best.pth: not a whole PyTorch checkpoint of plain weights"
CODE = rf"{NO_CHECKPOINT} \(it wants posix.mkdir to be run, and no code is\)"
CHECKPOINTS = [
    ("truncated", "sound_best.pth", lambda path, good: path.write_bytes(good[:-500]), NO_CHECKPOINT),
    ("a tenth", "sound_best.pth", lambda path, good: path.write_bytes(good[: len(good) // 10]), NO_CHECKPOINT),
    ("zero", "sound_best.pth", lambda path, good: path.write_bytes(b""), NO_CHECKPOINT),
    ("text", "sound_best.pth", lambda path, good: path.write_text("weights\n"), NO_CHECKPOINT),
    ("missing", "sound_best.pth", lambda path, good: path.unlink(), "sound_best.pth: cannot be read"),
    ("code", "sound_best.pth", lambda path, good: path.write_bytes(pickle.dumps(RunsCode(), 2)), CODE),
    ("code of today", "sound_best.pth", lambda path, good: path.write_bytes(pickle.dumps(RunsCode())), NO_CHECKPOINT),
    ("code in a zip file", "sound_best.pth", saved({"bn0.weight": RunsCode()}), CODE),
    ("a whole net", "sound_best.pth", saved(torch.nn.Linear(2, 2)), f"{NO_CHECKPOINT} .it wants torch.nn"),
    ("a list", "sound_best.pth", saved([1, 2]), "sound_best.pth: expected a dictionary of weights, found list"),
    ("numbers", "sound_best.pth", saved({"bn0.weight": 3}), "sound_best.pth: .*bn0.weight is .*expected .1."),
    ("more channels", "sound_best.pth", wider, r"sound_best.pth: weights of another .* is \[5.*expected \[4"),
    ("another net", "sound_best.pth", saved({"scale": torch.zeros(4)}), "sound_best.pth: .*no bn0.weight"),
    ("diverged", "sound_best.pth", diverged, "sound_best.pth: bn0.weight holds NaN"),
    ("no JSON", "config.json", lambda path, good: path.write_text("{"), "config.json: not valid JSON"),
    ("nested", "config.json", lambda path, good: path.write_text("[" * 10**5), "config.json: not valid JSON"),
    ("binary", "config.json", lambda path, good: path.write_bytes(bytes(range(256))), "config.json: not valid JSON"),
    ("a number", "config.json", lambda path, good: path.write_text("3"), "config.json: expected a JSON object"),
    (
        "wrong values",
        "config.json",
        lambda path, good: path.write_text('{"options": {"ngf": -1}}'),
        "config.json: .*--ngf: expected a whole number",
    ),
]


@pytest.fixture(scope="module")
def evaluated(tree):
    """The tree's run with scores and a picture of an earlier evaluation."""
    (tree / "ckpt" / "run" / "metrics.json").write_text("{}")
    folder = tree / "ckpt" / "run" / "visualization" / "0000_earlier"
    folder.mkdir(parents=True)
    (folder / "mix.jpg").write_bytes(b"a picture")
    return tree


@pytest.mark.parametrize(
    ("name", "file", "write", "expected"), CHECKPOINTS, ids=[f"{case[1]} {case[0]}" for case in CHECKPOINTS]
)
def test_checkpoints(evaluated, monkeypatch, capfd, name, file, write, expected):
    path = evaluated / "ckpt" / "run" / file
    good = path.read_bytes() if path.exists() else None
    try:
        write(path, good)
        before = files(evaluated)
        result = run_main(monkeypatch, capfd, evaluated, *EVAL)
        fails_and_leaves(result, before, evaluated, expected)
        assert not (evaluated / "code_ran").exists() and "\x1b" not in result.stderr
    finally:
        path.unlink(missing_ok=True)
        if good is not None:
            path.write_bytes(good)


# Some of each kind, from the list to the scores.
EVALUATIONS = [
    ("truncated.mp3", None),
    ("nan.wav", None),
    ("silent.wav", None),
    ("6_channels.wav", None),
    ("one_second.mp3", None),
    (None, "truncated"),
    (None, "one point"),
    (None, "no colours"),
    (None, "huge"),
]


@pytest.mark.parametrize(("audio", "ply"), EVALUATIONS, ids=[audio or ply for audio, ply in EVALUATIONS])
def test_evaluation(evaluated, tmp_path, monkeypatch, capfd, new_row, good_rows, audio, ply):
    """The unreadable row comes last: what was drawn for those before it must not replace the earlier pictures."""
    write_audio, audio_fails = {name: case for name, *case in RECORDINGS}[audio or "one_second.wav"]
    write_ply, ply_fails = {name: case for name, *case in CLOUDS}[ply or "whole"]
    path = tmp_path / "cello" / (audio or "a.wav")
    write_audio(path)
    write_ply(tmp_path / "person_1" / "00001.ply")
    write_ply(tmp_path / "person_1" / "00002.ply")
    good = IndexRow("cello/a.wav", "person_1", 3)
    write_index(tmp_path / "list.csv", [good, *good_rows, replace(new_row, audio_path=str(path))])
    before, run = files(evaluated), evaluated / "ckpt" / "run"
    options = ["--list_val", tmp_path / "list.csv", "--batch_size_per_gpu", "1", "--rgbs_feature", "1"]
    result = run_main(monkeypatch, capfd, evaluated, *EVAL, *options)
    if audio_fails or ply_fails:
        fails_and_leaves(result, before, evaluated, audio_fails, ply_fails.replace("00001", "0000[12]"), "list.csv:3")
        return
    assert result.returncode == 0 and result.stderr == "", result.stderr
    summary = json.loads((run / "metrics.json").read_text())
    silent = audio == "silent.wav"
    assert (summary["n_mixtures"], len(summary["unscored"])) == (3, 1 if silent else 0)
    assert np.isfinite([summary[name] for name in ("loss", "sdr", "sir", "sar", "sdr_mixture", "si_sdr")]).all()
    assert [folder.name[:5] for folder in (run / "visualization").iterdir()] == ["0000_"]
    assert not (run / "visualization" / "0000_earlier").exists() and not list(run.glob(".visualization*"))


EDGES = [
    ["--audLen", "31", "--stft_frame", "2", "--stft_hop", "1"],
    ["--audRate", "1"],
    ["--audRate", "384000", "--num_val", "99999999"],
    ["--voxel_size", "100", "--batch_size_per_gpu", "1000000"],
    ["--stft_frame", "1023", "--seed", "4294967295"],
]


@pytest.mark.parametrize("options", EDGES, ids=" ".join)
def test_the_ends_of_ranges_work(evaluated, monkeypatch, capfd, options):
    result = run_main(monkeypatch, capfd, evaluated, *EVAL, *options)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    summary = json.loads((evaluated / "ckpt" / "run" / "metrics.json").read_text())
    assert summary["n_scored"] == 2 and np.isfinite([summary["loss"], summary["sdr"]]).all()


def test_single_voxels_train(evaluated, tmp_path, monkeypatch, capfd, good_rows):
    """Batch normalisation needs two values a channel: two clouds of one voxel each are just enough."""
    write_cloud(tmp_path / "p" / "00000.ply", XYZ[:1], RGB[:1])
    audio = str(evaluated / "cello" / "a.wav")
    write_index(
        tmp_path / "list.csv",
        [IndexRow(audio, str(tmp_path / "p"), 1), replace(good_rows[0], frames_path=str(tmp_path / "p"), num_frames=1)],
    )
    options = ["--list_train", tmp_path / "list.csv", "--list_val", tmp_path / "list.csv", "--id", "voxels"]
    result = run_main(monkeypatch, capfd, evaluated, *TRAIN, *options, "--num_val", "1")
    assert result.returncode == 0 and result.stderr == "", result.stderr
    (run,) = (evaluated / "ckpt").glob("voxels-*")
    history = torch.load(run / "history_latest.pth", weights_only=True)
    assert history["train"] and all(np.isfinite(row["loss"]) for row in history["train"])


def process(root, *arguments):
    command_line = [sys.executable, str(ROOT / "main.py"), *TINY, "--list_val", "list.csv", *map(str, arguments)]
    return subprocess.run(command_line, cwd=root, capture_output=True, text=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_in_a_process_of_its_own(evaluated, tmp_path, new_row, good_rows, workers):
    """With and without workers: a recording in them that cannot be read."""
    path = tmp_path / "cello" / "text.mp3"
    path.write_text("no sound\n" * 99)
    cloud()(tmp_path / "person_1" / "00001.ply")
    write_index(tmp_path / "list.csv", [*good_rows, replace(new_row, audio_path=str(path))])
    before = files(evaluated)
    result = process(evaluated, *EVAL, "--list_val", tmp_path / "list.csv", "--workers", workers)
    fails_and_leaves(result, before, evaluated, "text.mp3: cannot be read as audio", "list.csv:2")


def test_code_in_a_process_of_its_own(evaluated, tmp_path):
    (tmp_path / "code.pth").write_bytes(pickle.dumps(RunsCode()))
    before = files(evaluated)
    result = process(evaluated, *EVAL, "--weights_vision", tmp_path / "code.pth")
    fails_and_leaves(result, before, evaluated, "code.pth: not a whole PyTorch checkpoint")
    assert not (evaluated / "code_ran").exists()
