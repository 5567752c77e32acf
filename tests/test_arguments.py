"""Options: published names and defaults, one line for what does not fit, the run's name."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from conftest import ROOT

from arguments import build_parser, choose_device, parse_arguments
from from_options import run_name
from main import common_engine, find_run
from utils.errors import InputError

PUBLISHED = """
id '', num_mix 2, arch_sound unet7, arch_vision sparseresnet18, arch_synthesizer linear, weights_sound '',
weights_vision '', weights_synthesizer '', num_channels 32, num_frames 1, stride_frames 1, frame_pool maxpool,
vision_activation sigmoid, sound_activation no, output_activation sigmoid, binary_mask 1, mask_thres 0.5, loss bce,
weighted_loss 0, log_freq 1, log_bins 256, num_gpus 1, batch_size_per_gpu 32, workers 32, num_val -1, audLen 65535,
audRate 11025, stft_frame 1022, stft_hop 256, voxel_size 0.02, rgbs_feature 0, frameRate 8, seed 1234, ckpt ./ckpt,
disp_iter 20, eval_epoch 1, mode train, list_train data/train.csv, list_val data/val.csv, dup_trainset 100,
num_epoch 100, lr_vision 0.0001, lr_sound 0.001, lr_synthesizer 0.001, beta1 0.9, weight_decay 0.0001, device auto,
optimizer sgd, ngf 64, augment 1.0, cache '', eval_list '', bss_eval fast, sparse_backend auto,
pretrained_vision models/resnet18_pretrained.pth
"""


def test_published_defaults():
    options = vars(build_parser().parse_args([]))
    for pair in re.sub(r"\s+", " ", PUBLISHED).strip().split(", "):
        name, value = pair.split(" ")
        assert str(options[name]) == value.replace("''", ""), name


def test_every_option_has_help_and_is_read():
    root = Path(__file__).parent.parent
    code = "".join(
        path.read_text()
        for path in [
            root / "main.py",
            root / "evaluation.py",
            root / "from_options.py",
            root / "option_rules.py",
            root / "runs/folder.py",
            root / "starting_weights.py",
            root / "training.py",
            *(root / "models").rglob("*.py"),
            *(root / "utils").glob("*.py"),
        ]
    )
    for action in build_parser()._actions:
        if action.dest != "help":
            assert action.help, action.dest
            assert f"options.{action.dest}" in code or "weights_" in action.dest, f"nobody reads --{action.dest}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--num_mix 1", "--num_mix.*2 or more"),
        ("--num_mix two", "--num_mix.*whole number"),
        ("--arch_sound unet9", "--arch_sound.*unet5"),
        ("--nm_mix 2", "unrecognized arguments: --nm_mix"),
        ("--num_m 2", "unrecognized"),
        ("--mask_thres 1.5", "--mask_thres"),
        ("--voxel_size 0", "--voxel_size.*more than 0"),
        ("--voxel_size nan", "--voxel_size"),
        ("--lr_sound -1", "--lr_sound"),
        ("--lr_sound inf", "--lr_sound"),
        ("--binary_mask 2", "--binary_mask.*0 or 1"),
        ("--num_val -2", "--num_val"),
        ("--seed -1", "--seed"),
        ("--loss l1", "--binary_mask 1 is trained with --loss bce"),
        ("--binary_mask 0", "--loss bce needs --binary_mask 1"),
        ("--output_activation tanh", "bce needs masks in 0..1"),
        ("--audLen 60000", "--audLen 60000 makes 235 .* try --audLen 65535"),
        ("--audLen 16383", "try --audLen 32767"),
        ("--stft_frame 1000 --log_freq 0", "--stft_frame 1000 makes 501 frequency bins"),
        ("--weight_scale 0.25", "--weight_scale 0.25 is for --weighted_loss 1"),
        ("--log_bins 300", "--log_bins 300: unet7 needs a multiple of 128"),
        ("--stft_hop 600", "--stft_hop 600"),
        ("--num_gpus 0", "--num_gpus"),
        ("--amp fp8", "--amp.*bf16"),
        ("--channels_last 1", "--channels_last.*auto"),
        ("--batch_size_per_gpu 1", "needs the clouds of two mixtures"),
        ("--arch_sound unet5 --audLen 8191 --stft_frame 32768", "--stft_frame 32768 is too long"),
        ("--seed 99999999999999999999", "--seed.*at most"),
        ("--augment 2000", "--augment.*at most 10"),
        ("--mode eval", "needs --id"),
        ("--mode test", "--mode"),
        ("--device tpu", "--device"),
        ("--bss_eval museval", "--bss_eval.*fast.*mir_eval"),
    ],
)
def test_values_that_do_not_fit(line, message):
    with pytest.raises(InputError, match=message) as error:
        parse_arguments(line.split())
    assert "\n" not in str(error.value)


def test_what_fits():
    parse_arguments(["--audLen", "16383", "--arch_sound", "unet6"])
    parse_arguments(["--binary_mask", "0", "--loss", "l2", "--output_activation", "relu", "--log_freq", "0"])
    parse_arguments(["--output_activation", "softmax"])


def test_a_device_that_is_not_here(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="--device cuda: no such device"):
        choose_device("cuda")
    assert choose_device("auto").type in ("cpu", "mps") and choose_device("cpu").type == "cpu"


def test_a_run_without_an_id_can_be_named():
    options = parse_arguments(["--mode", "eval", "--id", "-2mix-only_depth-epoch2", "--seed", "3"])
    assert options.id == "-2mix-only_depth-epoch2" and options.seed == 3
    with pytest.raises(InputError, match="expected one argument"):
        parse_arguments(["--id", "--seed", "3"])


def test_run_names():
    published = parse_arguments(
        [
            "--id",
            "default",
            "--weighted_loss",
            "1",
            "--num_channels",
            "16",
            "--stride_frames",
            "15",
            "--num_epoch",
            "200",
        ]
    )
    assert run_name(published) == (
        "default-2mix-only_depth-LogFreq-sparseresnet18-unet7-linear-frames1stride15-maxpool-binary-weightedLoss"
        "-channels16-epoch200"
    )
    other = parse_arguments(
        [
            "--binary_mask",
            "0",
            "--loss",
            "l1",
            "--log_freq",
            "0",
            "--rgbs_feature",
            "1",
            "--num_mix",
            "3",
            "--frame_pool",
            "avgpool",
        ]
    )
    assert run_name(other).startswith("-3mix-rgb_depth-sparseresnet18-unet7-linear-frames1stride1-avgpool-ratio-")


def test_evaluation_takes_the_model_from_the_run(tmp_path, capsys):
    run = tmp_path / "mine"
    run.mkdir()
    config = {"options": {"arch_sound": "unet6", "ngf": 16, "num_mix": 3, "binary_mask": 0, "loss": "l1"}}
    (run / "config.json").write_text(json.dumps(config))
    options = parse_arguments(f"--mode eval --id mine --ckpt {tmp_path} --audLen 16383".split())
    assert (options.arch_sound, options.ngf, options.binary_mask, options.loss) == ("unet6", 16, 0, "l1")
    assert options.num_mix == 2  # no part of the model
    assert "--arch_sound unet6 --ngf 16" in capsys.readouterr().out
    for damaged in ("{", "[]", "{}", '{"options": []}', '{"options": {"arch_sound": "unet9"}}'):
        (run / "config.json").write_text(damaged)
        with pytest.raises(InputError, match="config.json"):
            parse_arguments(["--mode", "eval", "--id", "mine", "--ckpt", str(tmp_path)])


def test_a_run_by_the_beginning_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine-2mix-epoch3", "mine-2mix-epoch30", "other [1]-epoch2", "exact", "exact-2"):
        (tmp_path / "ckpt" / name).mkdir(parents=True)
    found = {
        name: parse_arguments(["--mode", "eval", "--id", name]).id
        for name in ("other", "other [", "exact", "mine-2mix-epoch30", "none", "mine-2mix-epoch3")
    }
    assert found == {
        **{"other": "other [1]-epoch2", "other [": "other [1]-epoch2", "exact": "exact", "none": "none"},
        **{"mine-2mix-epoch30": "mine-2mix-epoch30", "mine-2mix-epoch3": "mine-2mix-epoch3"},
    }
    with pytest.raises(InputError, match="2 runs have names that begin with this: mine-2mix-epoch3, mine-2mix-epoch30"):
        parse_arguments(["--mode", "eval", "--id", "mine"])


@pytest.mark.parametrize("command", ["report", "compare", "export", "baselines", "compare_curves", "plot_separation"])
def test_a_beginning_of_several_names_is_said_by_every_command(tmp_path, command):
    for name in ("mine-1", "mine-2"):
        (tmp_path / name).mkdir()
    script = ROOT / "scripts" / f"{command}.py"
    words = [str(tmp_path / "mine"), *(["elsewhere"] if command in ("export", "compare_curves") else [])]
    words += ["--output", "elsewhere"] if command == "baselines" else []
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert f"{tmp_path}/mine: 2 runs have names that begin with this: mine-1, mine-2" in done.stderr


def test_a_run_to_evaluate_that_is_not_there(tmp_path):
    evaluated = ["--mode", "eval", "--ckpt", str(tmp_path), "--id", "mine"]
    with pytest.raises(InputError, match="--id mine: no run in .* begins with this; there are no runs"):
        find_run(parse_arguments(evaluated))
    for number in range(7):
        (tmp_path / f"other-{number}").mkdir()
    with pytest.raises(InputError, match="there are: other-0, .*, other-4 and 2 more"):
        find_run(parse_arguments(evaluated))
    weights = [f"--weights_{net}=best.pth" for net in ("sound", "vision", "synthesizer")]
    assert find_run(parse_arguments([*evaluated, *weights])) == tmp_path / "mine"


def test_no_race_chooses_the_engine_of_a_deterministic_run(monkeypatch):
    monkeypatch.setattr("main.choose_engine", lambda name, device: ModuleType(name))
    monkeypatch.setattr("main.engine_name", lambda engine: engine.__name__)
    chosen = [
        common_engine(parse_arguments(words), torch.device("cpu")).__name__
        for words in ([], ["--deterministic", "1"], ["--deterministic", "1", "--sparse_backend", "triton"])
    ]
    assert chosen == ["auto", "builtin", "triton"]
