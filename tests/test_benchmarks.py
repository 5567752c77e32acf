"""The benchmark's plain loader does the work that the real one is compared with; what is timed is what is said."""

from __future__ import annotations

import argparse
import os

import numpy as np
import pytest
import torch
from benchmarks.against import SPARSE, TRAINING, benchmark_against, compare
from benchmarks.data import write_files
from benchmarks.groups import SOURCES, WAYS, count_operations, pass_over
from benchmarks.plain_loader import PlainLoader, hsv_converters, importable, plain_batch, ply_readers
from benchmarks.race import plain_loss
from benchmarks.sparse import step, time_shares
from benchmarks.step import STAGES, Clock, compute_by_stages
from benchmarks.timing import time_in_turn
from benchmarks.turns import Worker
from conftest import ROOT, training_mixtures

from arguments import parse_arguments
from dataset.collate import collate
from dataset.points import read_cloud
from from_options import build_model
from models.backend import shells
from utils.errors import InputError

RATE = 11025


def test_a_plain_sample(rows):
    for colours in (False, True):
        mixture, sources, waves, clouds = PlainLoader(rows, 8191, RATE, 0.05, colours)[(1, 0)]
        assert [part.shape for part in (*mixture, *sources)] == [(512, 32)] * 4
        assert [wave.shape for wave in waves] == [(8191,)] * 2 and all(np.abs(wave).max() <= 0.5 for wave in waves)
        for coordinates, features in clouds:
            assert coordinates.shape == features.shape and len(np.unique(coordinates, axis=0)) == len(coordinates)


def test_readers_and_converters_agree_with_ours(rows):
    path = rows[0].frame_path(0)
    for reader in ply_readers().values():
        for found, expected in zip(reader(path), read_cloud(path), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-6)
    _, to_hsv, to_rgb = hsv_converters()
    rgb = read_cloud(path)[1]
    np.testing.assert_allclose(to_rgb(to_hsv(rgb)), rgb, atol=1e-6)


def test_librosa_that_is_missing_is_named(rows, monkeypatch):
    assert importable("no_such_module") is None
    monkeypatch.setattr("benchmarks.plain_loader.importable", lambda name: None)
    with pytest.raises(InputError, match="librosa: pip install -r requirements-dev.txt"):
        PlainLoader(rows, 8191, RATE, 0.05, False)


def test_steps_take_turns_and_warm_up():
    calls = []
    seconds = time_in_turn([lambda: calls.append("a"), lambda: calls.append("b")], 3, torch.device("cpu"))
    assert calls == list("aabb") * 3
    assert [len(taken) for taken in seconds] == [3, 3] and min(map(min, seconds)) > 0


def test_one_pass_dispatches_less(monkeypatch):
    """One pass costs less than one for each source; docs/performance.md has the ratios at the benchmark's own size."""
    monkeypatch.setattr("benchmarks.groups.VOXELS", 300)
    counts = [[count_operations(pass_over(way, n, torch.device("cpu"))) for way in WAYS] for n in SOURCES]
    ratios = [one / many for one, many in counts]
    assert ratios[1] < ratios[0] < 0.75


def test_shares_of_time_add_up():
    shares = time_shares(step("builtin", shells(2, 200), torch.device("cpu")))
    assert sum(shares.values()) == pytest.approx(1)
    assert all(0 < share < 1 for share in shares.values())


def test_stages_are_the_whole(rows):
    """The forward and backward that is timed stage by stage gives the loss and the gradients of the model's own."""
    options = parse_arguments(["--arch_sound", "unet5", "--ngf", "2", "--audLen", "8191", "--voxel_size", "0.1"])
    dataset = training_mixtures(rows, options)
    batch = collate([dataset[1, index] for index in range(3)])
    found, clock = [], Clock(torch.device("cpu"))
    for by_stages in (False, True):
        torch.manual_seed(0)
        net = build_model(options).train()
        if by_stages:
            loss = compute_by_stages(net, batch, clock)
        else:
            loss = net(batch.mixture, batch.clouds, batch.sources).loss
            loss.backward()
        found.append((loss, [parameter.grad for parameter in net.parameters()]))
    torch.testing.assert_close(found[1], found[0])
    assert {stage for stage, _ in clock.seconds} == set(STAGES) - {"waiting for data", "transfer", "optimiser"}
    assert all(seconds > 0 for seconds in clock.seconds.values())


def test_a_plain_iteration_computes_the_same_loss(rows):
    """From the magnitudes that the plain loader makes by librosa."""
    options = parse_arguments(["--arch_sound", "unet5", "--ngf", "2", "--audLen", "8191", "--voxel_size", "0.1"])
    loader = PlainLoader(rows, options.audLen, options.audRate, options.voxel_size, False)
    samples = [loader[1, index] for index in range(3)]
    mixture, sources, clouds = plain_batch(samples)
    waves = torch.from_numpy(np.stack([sample[2] for sample in samples], axis=1))  # [N, B, L]
    torch.manual_seed(0)
    net = build_model(options).train()
    plain = plain_loss(net, mixture, sources, clouds)
    of_later_sources = torch.tensor([len(samples), 0, 0, 0], dtype=torch.int32)
    coordinates = torch.cat([coordinates + n * of_later_sources for n, (coordinates, _) in enumerate(clouds)])
    together = coordinates, torch.cat([features for _, features in clouds])
    assert plain.item() == pytest.approx(net(waves.sum(dim=0), together, waves).loss.item(), abs=2e-4)


def test_checkouts_take_turns():
    """Here this checkout against itself, on an iteration that takes as long as it says."""
    code = "import time\nserve(lambda: time.sleep(0.02))"
    row = compare("sleep", ROOT, 3, code)
    assert 0.02 <= row["here_s"] < 0.2 and 0.02 <= row["there_s"] < 0.2
    assert row["ratio_quartiles"][0] <= row["ratio"] <= row["ratio_quartiles"][1]


def test_a_checkout_whose_code_does_not_run_is_named(tmp_path):
    with pytest.raises(InputError, match="--against: .*ended, exit code 1"):
        compare("nothing", tmp_path, 3, "import no_such_module")
    with pytest.raises(InputError, match="not a checkout of this project"):
        benchmark_against(argparse.Namespace(against=tmp_path, device="cpu", pairs=1), "sparse")


@pytest.mark.parametrize("code", [SPARSE.format(1, 200, "cpu"), TRAINING])
def test_both_works_of_a_checkout_run(code, tmp_path):
    if code == TRAINING:
        write_files(tmp_path)
        small = ["--arch_sound", "unet5", "--ngf", "2", "--audLen", "8191", "--voxel_size", "0.1"]
        code = TRAINING.format(device="cpu", words=small, folder=str(tmp_path), iterations=4)
    with Worker(code, dict(os.environ)) as worker:
        worker.begin(iterations=2)
        assert all(seconds > 0 for seconds in worker.taken_s())
