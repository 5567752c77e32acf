"""Several processes on the CPU, through gloo: the numbers of one, files from one, and an end when one of them dies."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT, training_mixtures
from test_main import events_of, fails_in_one_line, python

from arguments import parse_arguments
from dataset.index import write_index
from dataset.loader import EpochSampler
from utils import distributed
from utils.launch import launch
from utils.run_state import RunState

SMALL = [
    *("--device", "cpu", "--arch_sound", "unet5", "--ngf", "4", "--num_channels", "4", "--audLen", "8191"),
    *("--voxel_size", "0.1", "--workers", "0", "--mask_thres", "0.1", "--num_vis", "0", "--save_iter", "2"),
    *("--list_train", "list.csv", "--list_val", "list.csv", "--dup_trainset", "1", "--disp_iter", "1"),
]
LABEL = ["--arch_vision", "label"]  # a vision net of no size
MIXTURES = 12  # rows of the list


@pytest.fixture
def tree(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_index(tmp_path / "list.csv", rows)
    return tmp_path


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """As torchrun has it: a process alone computes as one of several does."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def main(tree, *arguments):
    return python(tree, ROOT / "main.py", *SMALL, *arguments)


def run_of(tree, ckpt):
    (run,) = (tree / ckpt).iterdir()
    return run


def losses_of(run):
    """The training losses of a run, iteration by iteration."""
    return [event.value for event in events_of(run / "tensorboard").Scalars("train/loss")]


def worker(*arguments):
    """Runs this file's `work` in two processes -> exit code."""
    return launch(__file__, list(map(str, arguments)), 2)


def work(task, *paths):
    """What each of the processes that a test starts does."""
    sys.path[:0] = [str(ROOT)]
    with distributed.joined("cpu"):
        globals()[f"work_{task}"](*paths)


@pytest.mark.parametrize("vision", [[], LABEL])
def test_two_processes_train_as_one_with_twice_the_batch(tree, vision):
    """Losses of twenty-one iterations, batch norm synchronised."""
    options = [*vision, "--dup_trainset", "7", "--num_epoch", "1", "--num_val", "2"]
    one = main(tree, *options, "--ckpt", "one", "--batch_size_per_gpu", "4")
    two = main(tree, *options, "--ckpt", "two", "--batch_size_per_gpu", "2", "--num_gpus", "2", "--sync_bn", "1")
    assert one.returncode == 0 == two.returncode, one.stderr + two.stderr
    assert "2 processes on cpu" in two.stdout and two.stdout.count("a new run begins") == 1
    losses = [losses_of(run_of(tree, ckpt)) for ckpt in ("one", "two")]
    assert len(losses[0]) == 21 and losses[0][-1] < losses[0][0]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    left = [sorted(path.name for path in run_of(tree, ckpt).iterdir()) for ckpt in ("one", "two")]
    assert left[0] == left[1]


def test_gradients_of_two_processes(tree):
    """Of every parameter, and the running means, after one batch of four in two halves; in double precision."""
    write_batch(tree / "batch.pth", small_options(4))
    assert worker("gradients", tree / "batch.pth", tree / "two.pth") == 0
    batch = torch.load(tree / "batch.pth", weights_only=False)
    from training import Trainer

    trainer = Trainer(small_model(), small_options(4))
    trainer.model.train()
    loss, samples = trainer.compute_gradients([batch["all"]])
    two = torch.load(tree / "two.pth")
    assert samples == two["samples"] == 4 and two["loss"] == pytest.approx(loss, abs=1e-9)
    for name, parameter in trainer.model.named_parameters():
        scale = parameter.grad.abs().max()
        assert scale > 0 and (two["gradients"][name] - parameter.grad).abs().max() <= 1e-8 * scale, name
    for name, buffer in trainer.model.named_buffers():
        torch.testing.assert_close(two["buffers"][name], buffer, rtol=1e-9, atol=1e-9)


def small_options(batch_size):
    return parse_arguments([*SMALL, "--batch_size_per_gpu", str(batch_size), "--sync_bn", "1"])


def small_model():
    from models import build_separation_net

    torch.manual_seed(0)
    return build_separation_net(small_options(4)).double()


def write_batch(path, options):
    """A batch of four, whole and in halves."""
    from test_training import doubled

    from dataset.collate import collate
    from dataset.index import read_index

    data = training_mixtures(read_index("list.csv"), options)
    samples = [data[1, index] for index in range(4)]
    parts = {"all": samples, "0": samples[:2], "1": samples[2:]}
    torch.save({name: doubled(collate(part)) for name, part in parts.items()}, path)


def work_gradients(batch_path, output):
    from training import Trainer

    options = small_options(2)
    trainer = Trainer(small_model(), options)
    trainer.model.train()
    batch = torch.load(batch_path, weights_only=False)[str(distributed.rank())]
    loss, samples = trainer.compute_gradients([batch])
    if distributed.is_main():
        content = {
            "loss": loss,
            "samples": samples,
            "gradients": {name: parameter.grad for name, parameter in trainer.model.named_parameters()},
            "buffers": dict(trainer.model.named_buffers()),
        }
        torch.save(content, output)


def test_batch_norm_over_unequal_parts(tmp_path):
    """Output, gradients and running means of seven samples, of which one process has two."""
    assert worker("batch_norm", tmp_path / "out.pth") == 0
    x, norm = norm_input()
    (norm(x) * weights_of_norm(x)).sum().backward()
    found = torch.load(tmp_path / "out.pth")
    torch.testing.assert_close(found["output"], norm_input()[1].train()(x.detach()))
    torch.testing.assert_close(found["x_gradient"], x.grad)
    for name, parameter in norm.named_parameters():
        torch.testing.assert_close(found["gradients"][name], parameter.grad)
    for name, buffer in norm.named_buffers():
        torch.testing.assert_close(found["buffers"][name], buffer)


def norm_input():
    generator = torch.Generator().manual_seed(1)
    x = (5 + 2 * torch.randn(7, 3, 4, 5, generator=generator)).requires_grad_()
    norm = torch.nn.BatchNorm2d(3)
    torch.nn.init.normal_(norm.weight, generator=generator)
    return x, norm


def weights_of_norm(x):
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(2))


def work_batch_norm(output):
    x, norm = norm_input()
    norm = distributed.synchronise_batch_norm(norm, x.device)
    assert type(norm).__name__ == "SyncBatchNorm" and type(norm) is not torch.nn.SyncBatchNorm
    mine = slice(0, 2) if distributed.is_main() else slice(2, 7)
    own = x.detach()[mine].requires_grad_()
    result = norm(own)
    (result * weights_of_norm(x)[mine]).sum().backward()
    content = {
        "output": torch.cat(distributed.everyones(result.detach())),
        "x_gradient": torch.cat(distributed.everyones(own.grad)),
        "gradients": {name: sum(distributed.everyones(parameter.grad)) for name, parameter in norm.named_parameters()},
        "buffers": dict(norm.named_buffers()),
    }
    if distributed.is_main():
        torch.save(content, output)


def test_an_evaluation_does_not_depend_on_the_processes(tree):
    """Every mixture once, the same scores, pictures, and report on conditioning."""
    options = ["--ckpt", "ckpt", "--batch_size_per_gpu", "2"]
    assert main(tree, *options, "--num_epoch", "1", "--num_val", "2").returncode == 0
    run = run_of(tree, "ckpt")
    found = []
    for processes in (1, 2, 3):
        result = main(
            *(tree, *options, "--mode", "eval", "--id", run.name, "--num_gpus", processes, "--num_vis", "5"),
            *("--conditioning_report", "1", "--batch_size_per_gpu", "5"),  # 5, 5 and 2 mixtures
        )
        assert result.returncode == 0, result.stderr
        rows = list(csv.DictReader((run / "metrics.csv").open()))
        content = json.loads((run / "metrics.json").read_text())
        media = {path.relative_to(run): path.read_bytes() for path in (run / "visualization").rglob("*.wav")}
        logged = set(events_of(run / "tensorboard" / "eval").Tags()["audio"])
        found.append((rows, content, media, logged, result.stdout))
    one, *others = found
    assert [row["index"] for row in one[0]] == [str(n) for n in range(MIXTURES)]
    assert len({path.parts[1] for path in one[2]}) == 5
    for rows, content, media, logged, said in others:
        assert len(rows) == MIXTURES
        for row, same in zip(rows, one[0], strict=True):
            for column, value in row.items():
                if column.startswith(("sdr", "sir", "sar", "si_sdr")):
                    assert float(value) == pytest.approx(float(same[column]), abs=1e-6), column
                else:
                    assert value == same[column]
        for name, value in content.items():
            if isinstance(value, float):
                assert value == pytest.approx(one[1][name], abs=1e-6), name
        assert content["conditioning"]["recognition"] == one[1]["conditioning"]["recognition"]
        assert content["conditioning"]["follows"] == pytest.approx(one[1]["conditioning"]["follows"])
        assert media == one[2] and logged == one[3]
        assert said.count("to see and hear it") == 1


def test_another_number_of_processes_goes_on(tree):
    options = [*LABEL, "--num_val", "2", "--sync_bn", "1", "--resume", "1"]
    whole = ["--ckpt", "whole", "--batch_size_per_gpu", "4"]
    assert main(tree, *options, *whole, "--num_epoch", "3").returncode == 0
    for epochs, processes in ((1, 2), (2, 1), (3, 2)):
        sizes = ["--batch_size_per_gpu", 4 // processes, "--num_gpus", processes]
        result = main(tree, *options, "--ckpt", "parts", *sizes, "--num_epoch", epochs)
        assert result.returncode == 0, result.stderr
    histories = [
        torch.load(next((tree / ckpt).glob("*/history_latest.pth")), weights_only=True) for ckpt in ("whole", "parts")
    ]
    assert histories[1]["train"]["loss"] == pytest.approx(histories[0]["train"]["loss"], abs=1e-5)
    assert histories[1]["val"]["loss"] == pytest.approx(histories[0]["val"]["loss"], abs=1e-5)
    result = main(tree, *options, "--ckpt", "parts", "--num_gpus", 3, "--batch_size_per_gpu", 2, "--num_epoch", 4)
    assert result.returncode == 0, result.stderr
    assert "a step of the optimiser now sees 6 mixtures, 4 before" in result.stdout


def test_a_place_in_an_epoch_is_counted_in_mixtures():
    state = RunState(iteration=5, batch_size=8)
    state.set_batch_size(4)
    assert state.iteration == 10
    state.set_batch_size(16)
    assert state.iteration == 2  # of 40 mixtures 8 come again
    older = RunState(iteration=5)
    older.set_batch_size(4)
    assert older.iteration == 5


@pytest.mark.parametrize("length", [23, 24, 3])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_the_shares_are_the_whole(monkeypatch, length, processes):
    """In training as many whole batches each; in evaluation every key once, in the batches that one process has."""

    def shares(shuffle, start=0):
        found = []
        for number in range(processes):
            monkeypatch.setattr("dataset.loader.rank", lambda number=number: number)
            monkeypatch.setattr("dataset.loader.world_size", lambda: processes)
            sampler = EpochSampler(length, batch_size=4, seed=0, shuffle=shuffle, period=10)
            sampler.epoch, sampler.start = 1, start
            found.append(list(sampler))
            assert start or len(found[-1]) == len(sampler)
        return found

    parts = shares(shuffle=False)
    assert sorted(sum(parts, [])) == [(0, n) for n in range(length)]
    for number, part in enumerate(parts):
        for place in range(0, len(part), 4):
            assert part[place][1] == 4 * (number + place // 4 * processes)
    parts = shares(shuffle=True)
    if length >= 4 * processes:
        assert len({len(part) for part in parts}) == 1 and len(parts[0]) == length // (4 * processes) * 4
        alone = [key for place in range(0, len(parts[0]), 4) for part in parts for key in part[place : place + 4]]
        monkeypatch.setattr("dataset.loader.world_size", lambda: 1)
        sampler = EpochSampler(length, batch_size=4 * processes, seed=0, shuffle=True, period=10)
        monkeypatch.setattr("dataset.loader.rank", lambda: 0)
        sampler.epoch = 1
        assert list(sampler) == alone
        rest = shares(shuffle=True, start=4 * processes)
        assert [part[4:] for part in parts] == rest


def test_no_gpus(tree):
    fails_in_one_line(main(tree, "--num_gpus", "2", "--device", "auto"), "--num_gpus 2", "--device cpu")


def test_too_few_mixtures(tree):
    """Every process finds that out; the first one says it."""
    result = main(tree, *LABEL, "--num_gpus", "2", "--batch_size_per_gpu", "8")
    fails_in_one_line(result, "12 training samples make no batch of 8 for each of 2 processes")


def test_an_unreadable_file_of_one_process(tree, rows):
    """The run ends with that process's line; with --skip_bad_samples all pass over the same batch and go on."""
    broken = tree / "broken.wav"
    broken.write_text("no sound")
    write_index(tree / "broken.csv", [*rows[:-1], type(rows[0])(str(broken), rows[-1].frames_path, 4, "")])
    options = [*LABEL, "--list_train", "broken.csv", "--num_gpus", "2", "--batch_size_per_gpu", "2", "--num_epoch", "1"]
    options += ["--num_val", "2"]
    result = main(tree, *options, "--ckpt", "strict")
    assert result.returncode == 2 and result.stderr.count("error: ") == 1, result.stderr
    assert str(broken) in result.stderr and "broken.csv" in result.stderr
    result = main(tree, *options, "--ckpt", "lenient", "--skip_bad_samples", "1")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(f"skipped: {broken}") == 1
    assert list(json.loads((run_of(tree, "lenient") / "skipped.json").read_text())) == [str(broken)]


STARTED = []


def start(tree, *arguments):
    command = [sys.executable, *map(str, arguments)]
    STARTED.append(subprocess.Popen(command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    return STARTED[-1]


@pytest.fixture(autouse=True)
def nothing_left():
    """What a test started and did not see end is ended after it."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            for pid in (*children_of(process).values(), process.pid):
                os.kill(pid, signal.SIGKILL)


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.1)


def iterations_saved(tree, ckpt):
    """Epoch and iteration of the `last.pth` below a folder; (0, 0) while there is none."""
    for path in (tree / ckpt).glob("*/last.pth"):
        try:
            state = torch.load(path, weights_only=True)["state"]
        except (OSError, RuntimeError):
            continue
        return state["epoch"], state["iteration"]
    return 0, 0


def children_of(process):
    """The processes that a launcher started, by number."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            environment = (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        ranks = [entry.partition(b"=")[2] for entry in environment if entry.startswith(b"RANK=")]
        if parent == process.pid and ranks:
            found[int(ranks[0])] = int(path.name)
    return found


LONG = [
    *LABEL,
    "--dup_trainset",
    "4",
    "--num_epoch",
    "3",
    "--num_val",
    "2",
    "--batch_size_per_gpu",
    "2",
    "--resume",
    "1",
]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")
def test_a_killed_process_ends_the_run(tree):
    run = start(tree, ROOT / "main.py", *SMALL, *LONG, "--num_epoch", "500", "--num_gpus", "2", "--ckpt", "killed")
    wait_for(lambda: iterations_saved(tree, "killed") > (1, 0))
    os.kill(children_of(run)[1], signal.SIGKILL)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 128 + signal.SIGKILL
    assert "error: process 1 was ended by signal 9" in said and "Traceback" not in said


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")
def test_torchrun_starts_anew_from_the_last_checkpoint(tree):
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--max_restarts", "1"]
    options = LONG[:-2]  # without --resume 1
    run = start(tree, *torchrun, ROOT / "main.py", *SMALL, *options, "--ckpt", "killed")
    wait_for(lambda: iterations_saved(tree, "killed") > (1, 0))
    os.kill(children_of(run)[1], signal.SIGKILL)
    said, errors = run.communicate(timeout=240)
    assert run.returncode == 0, errors
    assert said.count("a new run begins") == 1 and said.count("goes on with epoch") == 1
    assert main(tree, *options, "--num_gpus", "2", "--ckpt", "alone").returncode == 0
    histories = [
        torch.load(next((tree / ckpt).glob("*/history_latest.pth")), weights_only=True) for ckpt in ("killed", "alone")
    ]
    assert histories[0]["train"]["loss"] == pytest.approx(histories[1]["train"]["loss"], abs=1e-6)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")
def test_two_nodes_of_which_one_loses_its_process(tree):
    """Each has a launcher of its own; both start anew, the one that lost nothing too, and go on together."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    torchrun = ["-m", "torch.distributed.run", "--nnodes", "2", "--nproc_per_node", "1", "--rdzv_id", "nodes"]
    torchrun += ["--rdzv_backend", "c10d", "--rdzv_endpoint", address, "--local_addr", "localhost"]
    torchrun += ["--max_restarts", "2"]
    options = LONG[:-2]  # without --resume 1
    nodes = [start(tree, *torchrun, ROOT / "main.py", *SMALL, *options, "--ckpt", "nodes") for _ in range(2)]
    wait_for(lambda: iterations_saved(tree, "nodes") > (1, 0))
    os.kill(next(pid for node in nodes for number, pid in children_of(node).items() if number == 1), signal.SIGKILL)
    found = [(*node.communicate(timeout=240), node.returncode) for node in nodes]
    assert [code for *_, code in found] == [0, 0], found
    said = "".join(said for said, *_ in found)
    assert said.count("a new run begins") == 1 and said.count("goes on with epoch") == 1
    assert iterations_saved(tree, "nodes") == (4, 0)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")
def test_a_signal_stops_all_and_the_run_goes_on(tree):
    """Given to the launcher, or to one of the processes alone."""
    for number, ends in ((None, signal.SIGTERM), (1, signal.SIGINT), (0, signal.SIGTERM)):
        run = start(tree, ROOT / "main.py", *SMALL, *LONG, "--num_epoch", "500", "--num_gpus", "2", "--ckpt", "stopped")
        before = iterations_saved(tree, "stopped")
        wait_for(lambda before=before: iterations_saved(tree, "stopped") > max(before, (1, 0)))
        os.kill(run.pid if number is None else children_of(run)[number], ends)
        said, errors = run.communicate(timeout=120)
        assert run.returncode == 128 + ends, errors
        assert said.count("saved in epoch") == 1 and "Traceback" not in errors
        assert "error" not in errors.lower()


if __name__ == "__main__":
    work(*sys.argv[1:])
