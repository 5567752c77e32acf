"""What others left in a run's folder: configs, scores, curves and states of any types and sizes."""

from __future__ import annotations

import copy
import csv
import json
import time

import pytest
import torch
from test_reports import write_evaluation
from tiny_runs import TINY
from torch import nn

from arguments import parse_arguments
from from_options import build_model
from reports.evaluated import read_evaluation
from reports.table import _options
from runs.folder import check_resumed, run_options
from runs.state import HISTORY, LAST, RunKeeper, RunState, read_history, read_last
from runs.summary import check_summary
from utils import checkpoint
from utils.errors import InputError

VALUES = [None, "x", -1, 10**30, 1e308, float("nan"), [], {}, True, [1], {"a": 1}, "9" * 5000, [["x"]], ["--ckpt", "x"]]
CONFIG = {
    **{"arch_sound": "unet5", "arch_vision": "sparseresnet18", "arch_synthesizer": "linear", "num_channels": 8},
    **{"ngf": 4, "num_frames": 1, "stride_frames": 1, "frame_pool": "maxpool", "audRate": 11025, "stft_frame": 1022},
    **{"stft_hop": 256, "voxel_size": 0.02, "rgbs_feature": 1, "audLen": 65535, "mask_thres": 0.5, "num_mix": 2},
    **{"binary_mask": 1, "log_freq": 1, "loss": "bce", "weighted_loss": 0, "output_activation": "sigmoid"},
}
ABSURD = [{"num_frames": 10**9}, {"stft_frame": 2**40}, {"stft_hop": 10**9}, {"num_mix": 10**12}, {"audLen": 2**50}]


def one_line(error) -> bool:
    return "\n" not in str(error.value) and len(str(error.value)) < 600


def options_of(run, options):
    (run / "config.json").write_text(json.dumps({"options": options}))
    return run_options(run)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("name", [*CONFIG, "instruments"])
def test_a_config_of_other_types(tmp_path, name, value):
    """Refused, or taken as the command line would; `instruments` smuggles no other option in."""
    try:
        found = options_of(tmp_path, {**CONFIG, name: value})
    except InputError as error:
        assert str(tmp_path / "config.json") in str(error) and "\n" not in str(error) and len(str(error)) < 600
    else:
        assert type(getattr(found, name)) in (str, int, float, list) and found.ckpt == "./ckpt"
        assert name != "instruments" or value == []


@pytest.mark.parametrize("options", [None, [], "x", 3, *ABSURD, {"arch_sound": "unet7", "audLen": 1000}])
def test_a_config_that_is_none_or_absurd(tmp_path, options):
    with pytest.raises(InputError, match="config.json: ") as error:
        options_of(tmp_path, CONFIG | options if isinstance(options, dict) else options)
    assert one_line(error)


def test_instruments_are_names_and_not_too_many(tmp_path):
    for names in (["a"] * 1001, ["x" * 5000], [1], "cello", {"a": "b"}, [None]):
        with pytest.raises(InputError, match="--instruments: ") as error:
            options_of(tmp_path, {**CONFIG, "arch_vision": "label", "instruments": names})
        assert one_line(error)
    named = options_of(tmp_path, {**CONFIG, "arch_vision": "label", "instruments": ["--ckpt", "cello"]})
    assert named.instruments == ["--ckpt", "cello"] and named.ckpt == "./ckpt"


def test_nets_far_larger_than_their_weights_are_not_made(tmp_path):
    """Which would take all memory, or minutes."""
    small = parse_arguments(["--arch_sound", "unet5", "--ngf", "4", "--num_channels", "4", "--audLen", "65535"])
    checkpoint.save(build_model(small).sound.state_dict(), tmp_path / "sound_best.pth")
    large = options_of(tmp_path, {**CONFIG, "arch_sound": "unet7", "ngf": 1024, "num_channels": 4096})
    start = time.monotonic()
    with pytest.raises(InputError, match="sound_best.pth: weights of another architecture or size"):
        build_model(large)
    assert time.monotonic() - start < 5


def test_the_table_of_a_comparison_checks_configs_too(tmp_path):
    for options in (None, [1], {}, {"num_mix": "x"}, {"num_mix": 2, "arch_vision": ["label"], "rgbs_feature": 1}):
        (tmp_path / "config.json").write_text(json.dumps({"options": options}))
        with pytest.raises(InputError, match="config.json: does not hold a run's options"):
            _options(tmp_path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_evaluation(tmp_path_factory.mktemp("ckpt") / "run", 3.0, drawn=0)


def places(content, start=()):
    """Every place in nested dictionaries."""
    for name, part in content.items():
        yield (*start, name)
        if isinstance(part, dict):
            yield from places(part, (*start, name))


def changed(content, place, value):
    """A copy with another value at a place, or without it where the value is `...`."""
    new = part = copy.deepcopy(content)
    for name in place[:-1]:
        part = part[name]
    if value is ...:
        del part[place[-1]]
    else:
        part[place[-1]] = value
    return new


CONDITIONING = {
    **dict.fromkeys(("sdr", "sdr_exchanged", "follows", "energy_present_db", "energy_absent_db"), 1.0),
    "recognition": {"accuracy": 0.5, "n": 3, "confusion": {"a": {"a": 1, "b": 2}, "b": {"a": 1, "b": 2}}},
}


def test_scores_of_other_types(run):
    """Whatever passes the check can be put on a page."""
    from reports.figures import draw_confusion
    from reports.run_page import about, scores

    whole = {**json.loads((run / "metrics.json").read_text()), "conditioning": CONDITIONING}
    evaluation = read_evaluation(run)
    refused = 0
    for place in places(whole):
        for value in [*VALUES, ...]:
            summary = changed(whole, place, value)
            try:
                check_summary(summary)
            except ValueError as error:
                assert "\n" not in str(error) and len(str(error)) < 200
                refused += 1
                continue
            shown = type(evaluation)(run, summary, evaluation.mixtures)
            assert about(shown) and scores(summary)
            if summary.get("conditioning") and summary["conditioning"]["recognition"]:
                draw_confusion(summary["conditioning"]["recognition"])
            for name in summary["per_instrument"].values():
                assert name["n"] >= 0 and name["sdr"] + name["sdr_mixture"] < 1e9
    assert refused > 300


@pytest.mark.parametrize("value", ["", "x", "nan", "inf", "1e308", "-1", "9" * 5000, "2.5"])
@pytest.mark.parametrize(
    "column", ["index", "num_sources", "rate_hz", "window_samples", "sdr", "sdr_1", "sdr_mixture_2"]
)
def test_tables_of_other_types(tmp_path, column, value):
    run = write_evaluation(tmp_path / "run", 3.0, drawn=0)
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0][column] = value
    with open(run / "metrics.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    if column.startswith("sdr") and value in ("-1", "2.5") or (column, value) in {("index", "-1"), ("sdr", "")}:
        assert read_evaluation(run).mixtures
        return
    with pytest.raises(InputError, match="metrics.csv: not the scores of an evaluation") as error:
        read_evaluation(run)
    assert one_line(error)


SCORES = {name: [1, 2] for name in ("sdr", "sir", "sar", "sdr_mixture")}
CURVES = {
    "train": {"epoch": [1], "loss": [0.5]},
    "val": {
        "epoch": [0, 1],
        "loss": [0.5, float("nan")],
        **dict.fromkeys(("sdr", "sir", "sar", "sdr_mixture"), [1, 2]),
    },
}


@pytest.mark.parametrize("value", [[], [1, 2, 3], ["x", 1], [10**30, 1], [1e300, 1], None, 3, {}], ids=repr)
@pytest.mark.parametrize("place", [("val", "epoch"), ("val", "loss"), ("val", "sdr"), ("val",), ("train", "epoch")])
def test_curves_of_other_types(tmp_path, place, value):
    checkpoint.save(CURVES, tmp_path / HISTORY)
    assert read_history(tmp_path) is not None
    for bad in (value, *([] if place[-1] == "sdr" else [...])):  # a score need not be there
        checkpoint.save(changed(CURVES, place, bad), tmp_path / HISTORY)
        with pytest.raises(InputError, match="not the learning curves of a run"):
            read_history(tmp_path)


def test_states_of_other_types(tmp_path):
    """Of `last.pth`: refused when read or when put back, never later."""
    net = nn.Linear(1, 1)
    options = vars(parse_arguments([*TINY]))

    def keeper():
        optimizer = torch.optim.SGD(net.parameters(), lr=1.0, momentum=0.9)
        net(torch.ones(2, 1)).sum().backward()
        optimizer.step()
        return RunKeeper(tmp_path, options, RunState(), {"sound": net}, optimizer)

    whole = keeper().save_last()
    accepted = []
    for place in places(whole):
        for value in [None, "x", 1e308, {}, ...]:
            checkpoint.save(changed(whole, place, value), tmp_path / LAST)
            try:
                content = read_last(tmp_path, resume=True, overwrite=False)
                check_resumed(content, vars(parse_arguments([*TINY])))
                keeper().restore(content)
                RunState(**content["state"]).best_scores()
            except InputError as error:
                assert "last.pth" in str(error) or "--resume 1: the run was begun with" in str(error), place
            else:
                accepted.append(place[0])
    assert set(accepted) <= {"options", "state", "scaler", "random", "optimizer", "format"}
