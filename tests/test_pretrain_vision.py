"""Pretraining on small folders in ModelNet40's layout, stopped and resumed, and its use in training."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pretrain_vision
import pytest
import torch
from conftest import ROOT, write_cloud
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torture import unequal

from models import ModelBuilder, minkowski_net, start_from_classifier
from runs.lock import locked
from utils import files
from utils.errors import InputError
from utils.signals import Stopped, StopSignals

OPTIONS = ["--batch_size", "8", "--optimizer", "adam", "--lr", "1e-3", "--voxel_size", "0.1", "--device", "cpu"]
NARROW = (8, 8, 8, 8)  # channels of the stages: the real net's files are of hundreds of megabytes
IN_PLACE = ["--workers", "0", "--num_points", "500", "--augment", "0.1"]


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Two classes of clouds that differ plainly: tall ones and flat ones."""
    root = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(0)
    for name, size in (("flat", (1, 0.1, 1)), ("tall", (0.2, 2, 0.2))):
        for part, count in (("train", 8), ("test", 4)):
            for k in range(count):
                write_cloud(root / name / part / f"{k}.ply", rng.uniform(-1, 1, (400, 3)) * size)
    return root


def write_box(path, size):
    """A box `[3]` as an OFF mesh of quads, its first line as in some of ModelNet40's files."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * size
    faces = ["0 1 3 2", "4 6 7 5", "0 4 5 1", "2 3 7 6", "0 2 6 4", "1 5 7 3"]
    rows = [" ".join(f"{value:.4f}" for value in corner) for corner in corners] + [f"4 {face}" for face in faces]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["OFF8 6 0", *rows]) + "\n")


@pytest.fixture(scope="module")
def meshes(tmp_path_factory):
    """Two classes of meshes: cubes and columns, their height along z and in any unit."""
    root = tmp_path_factory.mktemp("meshes")
    rng = np.random.default_rng(0)
    for name, size in (("column", (1, 1, 6)), ("cube", (1, 1, 1))):
        for part, count in (("train", 8), ("test", 4)):
            for k in range(count):
                write_box(
                    root / name / part / f"{name}_{k:04d}.off",
                    size * rng.uniform(0.8, 1.2, 3) * 10 ** rng.uniform(-2, 2),
                )
    return root


@pytest.fixture
def pretrain(monkeypatch, meshes):
    """Pretrains a narrow classifier in this process, on the meshes unless said otherwise -> its exit code."""
    monkeypatch.setattr(minkowski_net, "STAGE_CHANNELS", NARROW)

    def run(output, *arguments):
        command = [*OPTIONS, *IN_PLACE, "--data", meshes, "--output", output, *arguments]
        monkeypatch.setattr(sys, "argv", ["pretrain_vision.py", *map(str, command)])
        return pretrain_vision.main()

    return run


def start(*arguments, **settings):
    """Pretrains the real net in a process of its own."""
    command = [sys.executable, ROOT / "scripts" / "pretrain_vision.py", *OPTIONS, *arguments]
    return subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings
    )


def stored(path):
    return torch.load(path, weights_only=True)


def same(a, b):
    """Whether two trainings ended alike, bit for bit: weights, optimiser, random generators, curves."""
    for one, other in ((a, b), (a.with_suffix("") / "last.pth", b.with_suffix("") / "last.pth")):
        places = unequal(stored(one), stored(other), "")
        assert [place for place in places if not place.startswith("/options")] == []


def curves(output):
    events = EventAccumulator(str(output.with_suffix("") / "tensorboard"))
    events.Reload()
    return {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_clouds_are_learnt(pretrain, classes, tmp_path, capsys):
    pretrain(tmp_path / "a.pth", "--data", classes, "--num_epoch", "10", "--lr", "1e-2")
    said = capsys.readouterr().out
    assert "epoch 10: " in said and " 100.0 % of the test clouds named" in said


def test_the_vision_net_takes_them(classes, tmp_path):
    output = tmp_path / "classifier.pth"
    process = start("--data", classes, "--output", output, "--num_epoch", "1")
    _, complaints = process.communicate()
    assert process.returncode == 0, complaints
    content = stored(output)
    assert content["classes"] == ["flat", "tall"] and content["state_dict"]["final.linear.weight"].shape == (2, 512)
    vision = ModelBuilder().build_vision("sparseresnet18", 4)
    start_from_classifier(vision, output)
    assert torch.equal(vision.features[4][0].conv1.kernel, content["state_dict"]["layer1.0.conv1.kernel"])
    output.with_suffix("").joinpath("last.pth").unlink()  # half a gigabyte


@pytest.mark.parametrize("schedule", [["onecycle"], ["cosine"], ["step", "--lr_steps", "15"]])
def test_meshes_are_learnt(pretrain, tmp_path, capsys, schedule):
    output = tmp_path / "classifier.pth"
    assert (
        pretrain(output, "--num_epoch", "20", "--lr", "1e-2", "--voxel_size", "0.05", "--schedule", *schedule) is None
    )
    assert "named least often: " in capsys.readouterr().out
    made = json.loads(output.with_suffix(".json").read_text())
    assert made["epochs"] == 20 and made["test_accuracy"] >= 0.8 and made["options"]["schedule"] == schedule[0]
    assert made["test_accuracy"] == pytest.approx(np.mean(list(made["test_accuracy_per_class"].values())))
    assert set(made["test_accuracy_per_class"]) == {"column", "cube"} and {"versions", "git_commit"} < set(made)
    assert curves(output) == {name: [10, 20, 30, 40] for name in ("test/loss", "test/accuracy")} | {
        name: list(range(1, 41)) for name in ("train/loss", "lr")
    }
    vision = ModelBuilder().build_vision("sparseresnet18", 4)
    start_from_classifier(vision, output)


def test_workers_and_the_cache_change_nothing(pretrain, tmp_path):
    pretrain(tmp_path / "a.pth", "--num_epoch", "2")
    pretrain(tmp_path / "b.pth", "--num_epoch", "2", "--workers", "1", "--cache", tmp_path / "cache")
    pretrain(tmp_path / "c.pth", "--num_epoch", "2", "--cache", tmp_path / "cache")
    same(tmp_path / "b.pth", tmp_path / "a.pth")
    same(tmp_path / "c.pth", tmp_path / "a.pth")
    assert len(list((tmp_path / "cache").rglob("*.bin"))) == 24


@pytest.fixture(params=["onecycle", "cosine", "step"])
def planned(request):
    """Options of a short training by each schedule."""
    steps = ["--lr_steps", "1"] if request.param == "step" else []
    optimizer = ["--optimizer", "sgd"] if request.param == "cosine" else []
    return ["--num_epoch", "3", "--eval_epoch", "2", "--schedule", request.param, *steps, *optimizer]


def test_stopped_after_every_step(pretrain, planned, tmp_path, monkeypatch, capsys):
    """Every start does one more iteration, of training or tests, and is stopped."""
    whole, parts, calls = tmp_path / "whole.pth", tmp_path / "parts.pth", []
    pretrain(whole, *planned)

    def check(self):
        calls.append(1)
        if len(calls) == 2:
            raise Stopped(signal.SIGTERM)

    monkeypatch.setattr(StopSignals, "check", check)
    codes = []
    while None not in codes and len(codes) < 20:
        calls.clear()
        assert not parts.exists()
        codes.append(pretrain(parts, *planned, "--resume", "1"))
        if codes[-1] == 143:
            assert "the same command with --resume 1 resumes it" in capsys.readouterr().out
    assert set(codes[:-1]) == {143} and 6 <= len(codes) < 20
    same(parts, whole)
    assert curves(parts) == curves(whole)
    before = parts.read_bytes()
    assert pretrain(parts, *planned, "--resume", "1") is None  # nothing is left to do
    assert parts.read_bytes() == before and curves(parts) == curves(whole)


class Killed(BaseException):
    pass


def test_killed_at_every_file(pretrain, tmp_path, monkeypatch):
    """The k-th start dies when it renames its k-th file; what it leaves is whole, and the next one resumes."""
    whole, parts, replace, count = tmp_path / "whole.pth", tmp_path / "parts" / "parts.pth", os.replace, []
    pretrain(whole, "--num_epoch", "3")

    def replace_or_die(source, target):
        count.append(target)
        if len(count) == k:
            raise Killed
        replace(source, target)

    parts.parent.mkdir()
    for name in (".parts.0123456789abcdef.tmp.pth", ".another.0123456789abcdef.tmp.pth"):
        (parts.parent / name).write_bytes(b"half")
    monkeypatch.setattr(files.os, "replace", replace_or_die)
    for k in range(1, 20):  # noqa: B007  (read by replace_or_die)
        count.clear()
        try:
            assert pretrain(parts, "--num_epoch", "3", "--resume", "1") is None
            break
        except Killed:
            for path in parts.parent.rglob("[!.]*.pth"):
                stored(path)
    assert k > 3
    same(parts, whole)
    (parts.parent / name).unlink()  # another process may be writing it
    assert sorted(path.name for path in parts.parent.iterdir()) == ["parts", "parts.json", "parts.pth"]
    assert sorted(path.name for path in (parts.parent / "parts").iterdir()) == ["last.pth", "tensorboard"]


def test_signals_of_a_terminal(meshes, tmp_path):
    """The real net, in a process of its own with workers, is interrupted as by Ctrl-C."""
    output = tmp_path / "classifier.pth"
    process = start(
        "--data", meshes, "--output", output, "--num_epoch", "500", "--workers", "1", start_new_session=True
    )
    for line in process.stdout:
        if line.startswith("pretraining 1/500"):
            break
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    said, complaints = process.communicate()
    assert process.returncode == 130 and "saved in epoch" in said and "Traceback" not in complaints
    assert [path.name for path in tmp_path.iterdir()] == ["classifier"] and stored(tmp_path / "classifier" / "last.pth")
    (tmp_path / "classifier" / "last.pth").unlink()


def test_what_may_not_change(pretrain, meshes, tmp_path):
    output = tmp_path / "a.pth"
    pretrain(output, "--num_epoch", "1")
    with pytest.raises(InputError, match="a: already holds a run; --resume 1 .* or choose another --output"):
        pretrain(output, "--num_epoch", "1")
    with pytest.raises(InputError, match=r"begun with --num_epoch 1 \(now 2\), --schedule onecycle"):
        pretrain(output, "--resume", "1", "--num_epoch", "2", "--schedule", "step", "--lr_steps", "1")
    other = tmp_path / "other"
    for path in meshes.rglob("*.off"):
        if path.name != "cube_0002.off":
            write_box(other / path.relative_to(meshes), (1, 1, 1))
    with pytest.raises(InputError, match="holds other classes or files for train than when the run began"):
        pretrain(output, "--resume", "1", "--num_epoch", "1", "--data", other)
    with locked(tmp_path / "a"):
        process = start("--data", meshes, "--output", output)
        assert "is training or evaluating there; wait for it, or choose another --output" in process.communicate()[1]
    assert pretrain(output, "--overwrite", "1", "--num_epoch", "1", "--seed", "5") is None
    assert json.loads((tmp_path / "a.json").read_text())["options"]["seed"] == 5


def test_a_downloaded_file_is_left_alone(pretrain, tmp_path):
    output = tmp_path / "resnet18_pretrained.pth"
    output.write_bytes(b"downloaded")
    for resume in (0, 1):
        with pytest.raises(InputError, match="exists; choose another --output, or --overwrite 1"):
            pretrain(output, "--resume", resume)
    assert [path.name for path in tmp_path.iterdir()] == [output.name] and output.read_bytes() == b"downloaded"


@pytest.mark.parametrize("is_old", [False, True], ids=["zip", "as PyTorch 1.4 wrote it"])
def test_a_published_file_starts_the_vision_net(tmp_path, is_old):
    """As MinkowskiEngine's training of ModelNet40 saves it: the classifier, optimiser, schedule and iteration."""
    net = minkowski_net.SparseResNet18Classifier()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.95)
    content = {"state_dict": net.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": schedule.state_dict()}
    path = tmp_path / "resnet18_pretrained.pth"
    torch.save({**content, "curr_iter": 40000}, path, _use_new_zipfile_serialization=not is_old)
    vision = ModelBuilder().build_vision("sparseresnet18", 16)
    start_from_classifier(vision, path)
    assert torch.equal(vision.features[0].kernel, net.conv1.kernel)
    path.unlink()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "/nowhere"], "/nowhere: no such folder"),
        (["--rgbs_feature", "1"], "has no colours; use --rgbs_feature 0"),
        (["--lr", "0"], "--lr"),
        (["--num_points", "20000"], "--num_points"),
        (["--output", "weights"], "--output weights: expected a name that ends in .pth"),
        (["--resume", "1", "--overwrite", "1"], "choose one"),
        (["--schedule", "step"], "--schedule step needs --lr_steps"),
        (["--lr_steps", "3"], "no other schedule takes them"),
        (["--schedule", "linear"], "--schedule"),
    ],
)
@pytest.mark.parametrize("kind", ["classes", "meshes"])
def test_bad_input_is_one_line(request, pretrain, tmp_path, monkeypatch, options, message, kind):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        pretrain("a.pth", "--data", request.getfixturevalue(kind), *options)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_bad_input_ends_the_process(tmp_path):
    process = start("--data", "/nowhere", "--output", tmp_path / "a.pth")
    _, complaints = process.communicate()
    assert process.returncode == 2 and complaints.startswith("error: /nowhere: no such folder")
    assert complaints.count("\n") == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_mesh_is_named(pretrain, tmp_path, workers):
    data, output = tmp_path / "data", tmp_path / "a.pth"
    for name in ("a", "b"):
        for part in ("train", "test"):
            write_box(data / name / part / "0.off", (1, 1, 1))
    broken = data / "b" / "train" / "0.off"
    broken.write_text(broken.read_text()[:60])
    with pytest.raises(InputError, match=rf"^{broken}: cannot be read as an OFF mesh \(.*truncated\)$"):
        pretrain(output, "--data", data, "--workers", workers)
    assert not output.exists() and not output.with_suffix(".json").exists()
    write_box(broken, (1, 1, 1))
    assert pretrain(output, "--data", data, "--num_epoch", "100", "--resume", "1", "--save_iter", "7") is None


@pytest.mark.parametrize(
    ("folder", "message"), [("a/train", "holds no OFF or PLY files"), ("b", "at least two folders")]
)
def test_incomplete_folders(pretrain, tmp_path, folder, message):
    for name in ("a", "b"):
        for part in ("train", "test"):
            write_box(tmp_path / "data" / name / part / "0.off", (1, 1, 1))
    (tmp_path / "data" / folder).rename(tmp_path / "aside")
    with pytest.raises(InputError, match=message):
        pretrain(tmp_path / "a.pth", "--data", tmp_path / "data")
