"""Several processes on the CPU, through gloo: the numbers of one, files from one."""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT, training_mixtures
from processes import LABEL, SMALL, losses_of, main, run_of
from test_main import events_of

from arguments import parse_arguments
from dataset.loader import BatchLoader, EpochSampler
from runs.state import RunState
from utils import distributed
from utils.launch import launch
from utils.signals import Stopped, StopSignals

MIXTURES = 12  # rows of the list


def worker(*arguments):
    """Runs this file's `work` in two processes -> exit code."""
    return launch([__file__, *map(str, arguments)], 2)


def work(task, *paths):
    """What each of the processes that a test starts does."""
    sys.path[:0] = [str(ROOT)]
    with distributed.joined("cpu"):
        globals()[f"work_{task}"](*paths)


@pytest.mark.parametrize("vision", [[], ["--num_frames", "2"], LABEL])
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


@pytest.mark.parametrize("frames", [1, 2])
def test_gradients_of_two_processes(tree, frames):
    """Of every parameter, and the running means, after one batch of four in two halves; in double precision."""
    write_batch(tree / "batch.pth", small_options(4, frames))
    assert worker("gradients", tree / "batch.pth", tree / "two.pth", frames) == 0
    batch = torch.load(tree / "batch.pth", weights_only=False)
    from training import Trainer

    trainer = Trainer(small_model(frames), small_options(4, frames))
    trainer.model.train()
    loss, samples = trainer.compute_gradients([batch["all"]])
    two = torch.load(tree / "two.pth")
    assert samples == two["samples"] == 4 and two["loss"] == pytest.approx(loss.item(), abs=1e-9)
    for name, parameter in trainer.model.named_parameters():
        scale = parameter.grad.abs().max()
        assert scale > 0 and (two["gradients"][name] - parameter.grad).abs().max() <= 1e-8 * scale, name
    for name, buffer in trainer.model.named_buffers():
        torch.testing.assert_close(two["buffers"][name], buffer, rtol=1e-9, atol=1e-9)


def small_options(batch_size, frames):
    sizes = ["--batch_size_per_gpu", str(batch_size), "--num_frames", str(frames)]
    return parse_arguments([*SMALL, *sizes, "--sync_bn", "1"])


def small_model(frames):
    from from_options import build_model

    torch.manual_seed(0)
    return build_model(small_options(4, frames)).double()


def write_batch(path, options):
    """A batch of four, whole and in halves."""
    from test_training import doubled

    from dataset.collate import collate
    from dataset.index import read_index

    data = training_mixtures(read_index("list.csv"), options)
    samples = [data[1, index] for index in range(4)]
    parts = {"all": samples, "0": samples[:2], "1": samples[2:]}
    torch.save({name: doubled(collate(part)) for name, part in parts.items()}, path)


def work_gradients(batch_path, output, frames):
    from training import Trainer

    options = small_options(2, int(frames))
    trainer = Trainer(small_model(int(frames)), options)
    trainer.model.train()
    batch = torch.load(batch_path, weights_only=False)[str(distributed.rank())]
    loss, samples = trainer.compute_gradients([batch])
    loss = distributed.total(loss.item())
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
    for part in ("train", "val"):
        whole, parts = ([row["loss"] for row in history[part]] for history in histories)
        assert parts == pytest.approx(whole, abs=1e-5)
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


def test_a_signal_to_one_process_stops_all(tmp_path):
    """Before the same batch; in an evaluation too, where the first process may have one more than the other."""
    assert worker("stop", tmp_path / "seen") == 0
    assert json.loads((tmp_path / "seen").read_text()) == [[[after] * 2] * 2 for after in (0, 1)] * 2


def work_stop(output):
    """Passes over batches; one process is sent a signal after some of its own."""
    found = []
    for mixtures, training in ((9, True), (5, False)):  # two batches each; two and one
        for after in (0, 1):
            found.append([distributed.everyones(seen(mixtures, training, told, after)) for told in (0, 1)])
    if distributed.is_main():
        Path(output).write_text(json.dumps(found))


def seen(mixtures, training, told, after):
    """How many batches this process has seen before it stops."""
    dataset, batches = {(0, n): n for n in range(mixtures)}, 0

    def send_after(batches):
        if batches == after and distributed.rank() == told:
            os.kill(os.getpid(), signal.SIGTERM)

    with StopSignals() as stop, pytest.raises(Stopped):
        send_after(0)
        for _ in BatchLoader(dataset, batch_size=2, seed=0, shuffle=training, collate_fn=list, check=stop.check):
            batches += 1
            send_after(batches)
    return batches


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


def test_a_process_ends_well_whatever_gloo_is_at():
    assert worker("leave") == 0


def work_leave():
    """Ends, as after a signal, while threads of gloo let go of tensors."""
    numbers = torch.ones(1_000_000)
    for _ in range(2000):
        torch.distributed.all_reduce(numbers.view(-1), async_op=True)
    sys.exit(0)


if __name__ == "__main__":
    distributed.run_to_end(lambda: work(*sys.argv[1:]))
