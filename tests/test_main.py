"""The commands as a user runs them: index, train, evaluate, on CPU; and what they say about bad input."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys

import pytest
import soundfile
import torch
from conftest import ROOT
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata as hparams_metadata

TINY = [
    *("--device", "cpu", "--arch_sound", "unet5", "--ngf", "4", "--num_channels", "4", "--audLen", "8191"),
    *("--batch_size_per_gpu", "4", "--voxel_size", "0.1", "--workers", "0"),
    *("--mask_thres", "0.1"),  # after two epochs nothing is learnt: masks near 0.5 must not come out silent
]
TRAIN = [
    *("--id", "tiny", "--dup_trainset", "1", "--num_epoch", "2", "--num_val", "3", "--num_vis", "1"),
    *("--disp_iter", "2"),
]


def python(root, *arguments):
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=root, capture_output=True, text=True)


def main(root, *arguments):
    return python(root, ROOT / "main.py", *TINY, *arguments)


def fails_in_one_line(result, *parts):
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    for part in parts:
        assert part in result.stderr


def events_of(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def hparams_of(events):
    """Options and metrics as TensorBoard's table of hyperparameters takes them from one folder."""
    content = {tag: about.plugin_data.content for tag, about in events.summary_metadata.items() if "_hparams_" in tag}
    row = hparams_metadata.parse_session_start_info_plugin_data(content[hparams_metadata.SESSION_START_INFO_TAG])
    columns = content.get(hparams_metadata.EXPERIMENT_TAG)
    return row.hparams, columns and hparams_metadata.parse_experiment_plugin_data(columns)


@pytest.fixture(scope="module")
def tree(data_tree):
    """The data set with index files, in which a tiny model was trained for two epochs."""
    assert python(data_tree, ROOT / "scripts" / "create_index_files.py").returncode == 0
    result = main(data_tree, *TRAIN)
    assert result.returncode == 0, result.stderr
    return data_tree, result


@pytest.fixture(scope="module")
def run(tree):
    (folder,) = (tree[0] / "ckpt").glob("tiny-*")
    return folder


def test_training_writes_what_was_promised(tree, run):
    assert run.name == (
        "tiny-2mix-only_depth-LogFreq-sparseresnet18-unet5-linear-frames1stride1-maxpool-binary-channels4-epoch2"
    )
    for net in ("sound", "vision", "synthesizer"):
        for label in ("latest", "best"):
            assert torch.load(run / f"{net}_{label}.pth", weights_only=True)
    for name in ("history_latest.pth", "loss.png", "metrics.png", "config.json", "metrics.json", "metrics.csv"):
        assert (run / name).stat().st_size > 0, name
    assert list((run / "tensorboard").glob("events*"))
    assert not list(run.rglob("*.tmp*"))
    history = torch.load(run / "history_latest.pth", weights_only=True)
    assert [row["epoch"] for row in history["train"]] == [1, 2]
    assert [row["epoch"] for row in history["val"]] == [0, 1, 2] and all("sdr" in row for row in history["val"])
    config = json.loads((run / "config.json").read_text())
    assert config["options"]["ngf"] == 4 and config["versions"]["torch"] == torch.__version__
    assert config["options"]["list_train"] == "data/train.csv" and "git_commit" in config


def test_a_log_is_not_flooded(tree):
    lines = tree[1].stdout.splitlines()
    assert len(lines) < 50 and "epoch 2/2 [6/6]" in tree[1].stdout
    assert "\r" not in tree[1].stdout + tree[1].stderr
    assert "resnet18_pretrained.pth: the vision trunk starts from random weights" in tree[1].stdout


def test_training_is_logged(run):
    events = events_of(run / "tensorboard")
    names = set(events.Tags()["scalars"])
    assert {"train/loss", "lr/sound", "lr/vision", "lr/vision_fc", "lr/synthesizer"} <= names
    assert {"val/loss", "val/sdr", "val/sir", "val/sar", "best/sdr", "best/epoch"} <= names
    (first,) = (path.name for path in (run / "visualization").iterdir())
    tags = {kind: [tag for tag in events.Tags()[kind] if tag.startswith(f"{first}/")] for kind in ("audio", "images")}
    assert len(tags["audio"]) == 5 and len(tags["images"]) == 10
    assert len(events.Tags()["audio"]) == 3 * 5  # a mixture of the list each, though one alone is written
    assert [event.step for event in events.Audio(f"{first}/pred1")] == [0, 1, 2]
    assert [event.step for event in events.Images(f"{first}/predmask2")] == [0, 1, 2]
    assert [event.step for event in events.Tensors(f"{first}/point2_frame1_VERTEX")] == [0]
    last = events.Audio(f"{first}/pred1")[-1]
    assert last.encoded_audio_string == (run / "visualization" / first / "pred1.wav").read_bytes()
    assert last.sample_rate == 11025
    history = torch.load(run / "history_latest.pth", weights_only=True)["val"]
    best = int(events.Scalars("best/epoch")[-1].value)
    assert history[best]["loss"] == min(row["loss"] for row in history)
    assert events.Scalars("best/sdr")[-1].value == pytest.approx(history[best]["sdr"])
    row, _ = hparams_of(events)
    assert row["ngf"].number_value == 4 and row["list_train"].string_value == "data/train.csv"
    assert "num_epoch" not in row and "device" not in row  # may change on the way, and the first row stays


def test_visualisation(run):
    (folder,) = (run / "visualization").iterdir()
    assert folder.name.startswith("0000_cello-r")
    names = {path.name for path in folder.iterdir()}
    expected = {"mix.wav", "mix.jpg", "weight.jpg"}
    for n in (1, 2):
        expected |= {f"{part}{n}.wav" for part in ("gt", "pred")} | {f"point{n}_frame1.ply"}
        expected |= {f"{part}{n}.jpg" for part in ("gtmask", "predmask", "gtamp", "predamp")}
    assert names == expected
    mix, gt1, gt2 = (soundfile.read(folder / f"{name}.wav")[0] for name in ("mix", "gt1", "gt2"))
    assert abs(mix - gt1 - gt2).max() < 1e-3 and len(mix) == 256 * 31


def test_an_evaluation_is_logged_beside_the_training(tree, run):
    before = {path: path.read_bytes() for path in (run / "tensorboard").glob("events*")}
    options = ["--mode", "eval", "--id", run.name, "--list_val", "data/test.csv", "--num_vis", "0", "--num_val"]
    for count in (2, 1):  # the second takes the place of the first
        assert main(tree[0], *options, count).returncode == 0
        events = events_of(run / "tensorboard" / "eval")
        assert len(events.Tags()["audio"]) == count * 5 and len(events.Tags()["images"]) == count * 10
    assert main(tree[0], *options, 2, "--tensorboard", "0").returncode == 0
    assert {path: path.read_bytes() for path in (run / "tensorboard").glob("events*")} == before
    events = events_of(run / "tensorboard" / "eval")
    best = events_of(run / "tensorboard").Scalars("best/epoch")[-1].value
    assert [event.step for event in events.Scalars("val/sdr")] == [best] and len(events.Tags()["audio"]) == 5
    row, columns = hparams_of(events)
    assert row["list_val"].string_value == "data/test.csv" and "lr_sound" not in row and columns is None


def metrics(run):
    with open(run / "metrics.csv", newline="") as file:
        return json.loads((run / "metrics.json").read_text()), list(csv.DictReader(file))


def test_evaluation_of_a_run(tree, run):
    root = tree[0]
    result = main(root, "--mode", "eval", "--id", run.name, "--list_val", "data/test.csv", "--num_vis", "0")
    assert result.returncode == 0, result.stderr
    summary, rows = metrics(run)
    assert summary["n_mixtures"] == summary["n_scored"] == len(rows) == 6 and summary["list_val"] == "data/test.csv"
    for name in ("sdr", "sir", "sar", "sdr_mixture", "si_sdr", "si_sdr_mixture"):
        assert summary[name] == pytest.approx(sum(float(row[name]) for row in rows) / 6)
        assert float(rows[0][name]) == pytest.approx((float(rows[0][f"{name}_1"]) + float(rows[0][f"{name}_2"])) / 2)
    assert summary["sdr_improvement"] == pytest.approx(summary["sdr"] - summary["sdr_mixture"])
    assert summary["bss_eval"] == "fast" and summary["unscored"] == []
    assert sum(part["n"] for part in summary["per_pair"].values()) == 6
    assert sum(part["n"] for part in summary["per_instrument"].values()) == 12
    assert "SI-SDR" in result.stdout and "6 of 6 mixtures scored, 0 unscored" in result.stdout
    assert {"audio_1", "window_start_2", "frames_path_1", "frames_2", "instrument_1"} <= set(rows[0])
    again = main(root, "--mode", "eval", "--id", run.name, "--list_val", "data/test.csv", "--num_vis", "0")
    assert again.returncode == 0 and metrics(run) == (summary, rows)
    by_mir_eval = main(
        *(root, "--mode", "eval", "--id", run.name, "--list_val", "data/test.csv", "--num_vis", "0"),
        *("--bss_eval", "mir_eval"),
    )
    assert by_mir_eval.returncode == 0 and metrics(run)[0]["bss_eval"] == "mir_eval"
    for name in ("sdr", "sir", "sar", "sdr_mixture"):
        assert metrics(run)[0][name] == pytest.approx(summary[name], abs=1e-4)
    workers = main(
        root, "--mode", "eval", "--id", run.name, "--list_val", "data/test.csv", "--num_vis", "0", "--workers", "2"
    )
    assert workers.returncode == 0 and metrics(run) == (summary, rows)


def test_an_evaluation_list_is_evaluated_exactly(tree, run, tmp_path):
    """In any order, with any number of workers, at any batch size, from a list that says what to hear."""
    options = ["--mode", "eval", "--id", run.name, "--num_vis", "0", "--batch_size_per_gpu"]
    assert main(tree[0], *options, 1, "--list_val", "data/test.csv", "--seed", 5).returncode == 0
    _, expected = metrics(run)
    lines = (run / "metrics.csv").read_text().splitlines()
    (tmp_path / "list.csv").write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n")
    for batch, workers, tolerance in ((1, 0, 1e-6), (1, 2, 1e-6), (2, 0, 0.01)):
        result = main(tree[0], *options, batch, "--workers", workers, "--eval_list", tmp_path / "list.csv")
        assert result.returncode == 0, result.stderr
        summary, found = metrics(run)
        assert summary["eval_list"] == str(tmp_path / "list.csv") and "list.csv" in result.stdout
        for row, same in zip(found, reversed(expected), strict=True):
            for name, value in same.items():
                if name == "index":
                    continue
                if name.startswith(("loss", "sdr", "si_sdr")):
                    assert float(row[name]) == pytest.approx(float(value), abs=tolerance), name
                elif not name.startswith(("sir", "sar")):  # beyond 100 dB after two epochs: float rounding decides
                    assert row[name] == value, name


def test_training_is_reproduced_bit_for_bit(tree, run, tmp_path):
    result = main(tree[0], *TRAIN, "--ckpt", tmp_path)
    assert result.returncode == 0, result.stderr
    (again,) = tmp_path.glob("tiny-*")
    for name in ("history_latest", "sound_latest", "vision_latest", "synthesizer_latest"):
        first, second = (torch.load(folder / f"{name}.pth", weights_only=True) for folder in (run, again))
        if name == "history_latest":
            assert first == second
        else:
            assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_cache_changes_no_score(tree, run, tmp_path):
    options = ["--mode", "eval", "--id", run.name, "--list_val", "data/test.csv", "--num_vis", "0"]
    found = []
    for cache in ([], ["--cache", tmp_path / "cache"], ["--cache", tmp_path / "cache", "--workers", "2"]):
        result = main(tree[0], *options, *cache)
        assert result.returncode == 0, result.stderr
        found.append(metrics(run)[0])
    assert list((tmp_path / "cache").rglob("*.bin"))
    for name in ("loss", "sdr", "sdr_mixture"):  # SAR is beyond 100 dB after two epochs: float rounding decides
        assert found[1][name] == pytest.approx(found[0][name], abs=1e-3) and found[2][name] == found[1][name]


def test_evaluation_of_bare_weights(tree, run, tmp_path):
    """A folder with nothing but the three best weights, as they were published."""
    bare = tmp_path / "published"
    bare.mkdir()
    for net in ("sound", "vision", "synthesizer"):
        shutil.copy(run / f"{net}_best.pth", bare)
    options = ["--mode", "eval", "--id", "published", "--ckpt", tmp_path, "--list_val", "data/test.csv"]
    result = main(tree[0], *options, "--num_vis", "1", "--tensorboard", "0")
    assert result.returncode == 0, result.stderr
    assert not (bare / "tensorboard").exists()
    assert (bare / "metrics.json").exists() and len(list((bare / "visualization").iterdir())) == 1
    fails_in_one_line(main(tree[0], *options, "--num_channels", "5"), "sound_best.pth", "another architecture")


def test_a_run_is_not_overwritten_unasked(tree, run):
    before = {path: path.read_bytes() for path in run.glob("*.pth")}
    fails_in_one_line(main(tree[0], *TRAIN), str(run.relative_to(tree[0])), "--overwrite 1")
    assert before == {path: path.read_bytes() for path in run.glob("*.pth")}


def test_scripts_pass_options_on(tree, run):
    result = subprocess.run(
        [ROOT / "scripts" / "test.sh", "--id", run.name, *TINY, "--num_vis", "0", "--rgbs_feature", "1"],
        cwd=tree[0],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "as the run was trained: " in result.stdout and " --rgbs_feature 0\n" in result.stdout
    result = subprocess.run(
        [ROOT / "scripts" / "train.sh", *TINY, "--id", "scripted", "--num_epoch", "1", "--dup_trainset", "1"]
        + ["--num_val", "1"],
        cwd=tree[0],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert list((tree[0] / "ckpt").glob("scripted-2mix-only_depth-LogFreq-*stride15*-weightedLoss-channels4-epoch1"))


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--list_train", "nowhere.csv"], ["nowhere.csv", "create_index_files.py"]),
        (["--num_mix", "4"], ["data/train.csv", "3 instrument"]),
        (["--weights_sound", "data/train.csv"], ["data/train.csv", "checkpoint"]),
        (["--pretrained_vision", "data/train.csv"], ["data/train.csv", "checkpoint"]),
        (["--num_val", "0"], ["--num_val 0"]),
        (["--num_frames", "9"], ["data/train.csv:1", "--num_frames 9"]),
        (["--colour", "1"], ["--colour"]),
    ],
)
def test_bad_input_is_one_line(tree, options, parts):
    fails_in_one_line(main(tree[0], *TRAIN, "--id", "bad", *options), *parts)
    assert not list((tree[0] / "ckpt").glob("bad-*"))


def test_a_missing_run_is_one_line(tree):
    fails_in_one_line(main(tree[0], "--mode", "eval", "--id", "nobody"), "--id nobody: no run in ckpt has a name")


def test_an_unreadable_recording_is_one_line(tree, tmp_path):
    lines = (tree[0] / "data" / "test.csv").read_text().splitlines()
    broken = tmp_path / "cello" / "broken.mp3"
    broken.parent.mkdir()
    broken.write_bytes(b"")
    lines[0] = f"{broken},{lines[0].split(',', 1)[1]}"
    (tmp_path / "list.csv").write_text("\n".join(lines))
    result = main(tree[0], *TRAIN, "--id", "broken", "--list_val", tmp_path / "list.csv")
    fails_in_one_line(result, "broken.mp3: cannot be read as audio")


def test_three_sources_two_frames_ratio_masks(tree):
    """Another corner of the options, from training to evaluation."""
    options = [
        *("--id", "corner", "--num_mix", "3", "--num_frames", "2", "--rgbs_feature", "1", "--binary_mask", "0"),
        *("--loss", "l1", "--log_freq", "0", "--arch_synthesizer", "bias", "--frame_pool", "avgpool"),
        *("--optimizer", "adam", "--output_activation", "relu", "--dup_trainset", "1", "--num_epoch", "1"),
        *("--num_val", "2", "--num_vis", "1"),
    ]
    result = main(tree[0], *options)
    assert result.returncode == 0, result.stderr
    (folder,) = (tree[0] / "ckpt").glob("corner-3mix-rgb_depth-sparseresnet18-*-ratio-*")
    assert (next((folder / "visualization").iterdir()) / "point3_frame2.ply").exists()


def test_four_sources_three_frames(tree):
    """More than the paper's; with three instruments at hand, two sources are of the same one."""
    options = ["--id", "four", "--num_mix", "4", "--num_frames", "3", "--distinct", "0", "--dup_trainset", "1"]
    options += ["--list_val", "data/test.csv"]
    result = main(tree[0], *options, "--num_epoch", "1", "--num_val", "2", "--num_vis", "1")
    assert result.returncode == 0, result.stderr
    (folder,) = (tree[0] / "ckpt").glob("four-4mix-*-frames3stride1-*")
    assert (next((folder / "visualization").iterdir()) / "point4_frame3.ply").exists()
    summary = json.loads((folder / "metrics.json").read_text())
    assert (
        set(summary["by_likeness"]) <= {"same_instrument"}
        and len(next(iter(summary["per_combination"])).split("+")) == 4
    )
