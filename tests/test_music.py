"""Samples: drawn by (seed, epoch, index) alone, of different instruments, made as the paper says."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import soundfile
import torch
from conftest import write_cloud

from dataset.audio import read_window
from dataset.collate import collate
from dataset.eval_list import describe
from dataset.index import IndexRow
from dataset.loader import BatchLoader, EpochSampler
from dataset.music import MUSICMixDataset
from dataset.settings import FrameSettings, VoxelSettings, Window
from utils.errors import InputError

RATE = 11025


def dataset(rows, **options):
    settings = dict(
        training=True,
        num_samples=len(rows),
        seed=0,
        num_mix=2,
        window=Window(8191, RATE),
        frames=FrameSettings(count=1, stride=1),
        voxels=VoxelSettings(0.05, colours=True),
    )
    return MUSICMixDataset(rows, **{**settings, **options})


def same(a, b):
    clouds = [(x, y) for n, m in zip(a.clouds, b.clouds, strict=True) for x, y in zip(n, m, strict=True)]
    return (
        a.draws == b.draws
        and np.array_equal(a.waves, b.waves)
        and all(np.array_equal(x[0], y[0]) and np.array_equal(x[1], y[1]) for x, y in clouds)
    )


def test_a_sample_depends_on_seed_epoch_and_index(rows):
    data = dataset(rows)
    first = data[(1, 5)]
    data[(2, 3)]
    assert same(first, data[(1, 5)]) and same(first, dataset(rows)[(1, 5)])
    assert not same(first, data[(2, 5)])
    assert not same(first, dataset(rows, seed=1)[(1, 5)])


@pytest.mark.parametrize("num_mix", [2, 3])
def test_sources_are_the_row_and_other_instruments(rows, num_mix):
    data, partners = dataset(rows, num_mix=num_mix), set()
    for index in range(len(rows)):
        draws = data[(0, index)].draws
        assert draws[0].row == rows[index]
        assert len({draw.row.instrument for draw in draws}) == num_mix
        partners |= {draw.row for draw in draws[1:]}
    assert len(partners) > 6


def test_evaluation_is_the_recording_itself(rows):
    data = dataset(rows, training=False)
    sample = data[(0, 2)]
    assert sample.waves.shape == (2, 8191)
    for draw, wave in zip(sample.draws, sample.waves, strict=True):
        expected = read_window(draw.row.audio_path, draw.window_start, 8190, RATE) / 2
        np.testing.assert_allclose(wave[:8190], expected, atol=1e-7)
        assert wave[8190] == 0  # an odd window's last sample
        assert 1 <= draw.window_start <= 3 * RATE - 8190 + 1500  # mp3 pads the end


def test_training_gain_stays_within_its_range(rows):
    data, plain = dataset(rows), dataset(rows, training=False)
    gains = []
    for epoch in range(1, 30):
        draw, wave = data[(epoch, 0)].draws[0], data[(epoch, 0)].waves[0]
        original = read_window(draw.row.audio_path, draw.window_start, 8190, RATE) / 2
        gains.append(np.abs(wave[:8190]).max() / np.abs(original).max())
    assert 0.5 <= min(gains) < 0.65 and 1.35 < max(gains) <= 1.5
    assert plain.draw(0, np.random.default_rng(0))


def test_frames_lie_around_the_centre(rows):
    data = dataset(rows, frames=FrameSettings(3, 1))
    seen = {data[(epoch, 0)].draws[0].frames for epoch in range(40)}
    assert seen == {(1, 2, 3)} or seen == {(0, 1, 2), (1, 2, 3)}
    assert {data[(e, 0)].draws[0].frames for e in range(3)} and len(data[(0, 0)].clouds[0]) == 3
    single = {dataset(rows)[(epoch, 0)].draws[0].frames for epoch in range(40)}
    assert single == {(1,), (2,), (3,)}


def test_features_are_colours_or_points(rows):
    colours = dataset(rows, training=False)[(0, 0)].clouds[0][0]
    points = dataset(rows, training=False, voxels=VoxelSettings(0.05, colours=False))[(0, 0)].clouds[0][0]
    np.testing.assert_array_equal(colours[0], points[0])
    assert colours[1].min() >= 0 and colours[1].max() <= 1
    np.testing.assert_array_equal(np.floor(points[1].astype(np.float64) / 0.05), points[0])


def test_training_moves_the_cloud_and_augment_0_does_not(rows):
    still = dataset(rows, training=False)[(0, 0)]
    frame = still.draws[0].frames
    unmoved = next(s for s in (dataset(rows, augment=0.0)[(e, 0)] for e in range(99)) if s.draws[0].frames == frame)
    np.testing.assert_array_equal(unmoved.clouds[0][0][0], still.clouds[0][0][0])
    assert len(dataset(rows)[(1, 0)].clouds[0][0][0]) != len(still.clouds[0][0][0])


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize("num_mix", [2, 3, 4])
def test_too_few_recordings_are_told_with_advice_that_can_be_followed(rows, num_mix, distinct):
    """2 is the least of --num_mix."""
    few = [row for row in rows if row.instrument == "cello"][:1]
    with pytest.raises(
        InputError, match=f"a mixture needs {num_mix}.*; (lower --num_mix or )?add recordings$"
    ) as caught:
        dataset(few, num_mix=num_mix, distinct=distinct)
    assert ("lower --num_mix" in str(caught.value)) == (num_mix > 2)
    of_one_instrument = [row for row in rows if row.instrument == "cello"]
    if distinct:
        with pytest.raises(InputError, match=r"1 instrument\(s\) \(cello\), a mixture needs") as caught:
            dataset(of_one_instrument, num_mix=num_mix)
        assert ("lower --num_mix" in str(caught.value)) == (num_mix > 2)


def test_fewer_mixtures_than_rows_are_spread_evenly(rows):
    data = dataset(rows, training=False, num_samples=3)
    assert [data[(0, i)].draws[0].row.instrument for i in range(3)] == ["cello", "saxophone", "violin"]


def test_too_few_instruments_or_frames(rows):
    with pytest.raises(InputError, match=r"train.csv: holds 3 instrument.*needs 4"):
        dataset(rows, num_mix=4)
    with pytest.raises(InputError, match=r"train.csv:1: 4 frame.*needs 5"):
        dataset(rows, frames=FrameSettings(3, 2))


def test_one_frame_is_enough(tmp_path, rows):
    write_cloud(tmp_path / "00000.ply", np.zeros((3, 3)), np.zeros((3, 3)))
    lone = IndexRow(rows[0].audio_path, str(tmp_path), 1, "train.csv:1")
    assert dataset([lone, *rows[4:]])[(0, 0)].draws[0].frames == (0,)


def test_a_short_recording_fills_the_window(tmp_path, rows):
    path = str(tmp_path / "cello" / "short.wav")
    (tmp_path / "cello").mkdir()
    soundfile.write(path, 0.5 * np.ones(1000), RATE)
    short = IndexRow(path, rows[0].frames_path, 4, "train.csv:1")
    wave = dataset([short, *rows[4:]], training=False)[(0, 0)].waves[0]
    np.testing.assert_allclose(wave[:8190], 0.25, atol=1e-4)


def test_batches(rows):
    data = dataset(rows, training=False, num_mix=3, frames=FrameSettings(2, 1))
    batch = collate([data[(0, i)] for i in (4, 7)])
    assert batch.sources.shape == (3, 2, 8191) and batch.mixture.shape == (2, 8191)
    torch.testing.assert_close(batch.sources.sum(0), batch.mixture)
    assert len(batch) == 2 and batch.indices == [4, 7]
    coordinates, features = batch.clouds
    assert coordinates.dtype == torch.int32 and coordinates[:, 0].unique().tolist() == list(range(12))
    for source, frame, mixture in np.ndindex(3, 2, 2):
        expected = data[(0, batch.indices[mixture])].clouds[source][frame]
        rows_of_it = coordinates[:, 0] == (source * 2 + frame) * 2 + mixture
        np.testing.assert_array_equal(coordinates[rows_of_it, 1:], expected[0])
        np.testing.assert_array_equal(features[rows_of_it], expected[1])
    columns = describe(batch.draws[0], Window(4095, RATE))
    assert columns["instrument_1"] == "saxophone" and len(columns["frames_1"].split()) == 2


def loader(data, **options):
    return BatchLoader(data, **{"batch_size": 5, "seed": 0, "shuffle": True, **options})


def contents(batches):
    return [(b.indices, b.mixture) for b in batches]


def test_workers_change_nothing(rows):
    alone, helped = loader(dataset(rows)), loader(dataset(rows), workers=2)
    for each in (alone, helped):
        each.set_epoch(3)
    for (i, x), (j, y) in zip(contents(alone), contents(helped), strict=True):
        assert i == j and torch.equal(x, y)


def test_order(rows):
    training = loader(dataset(rows))
    orders = []
    for epoch in (1, 2, 1):
        training.set_epoch(epoch)
        orders.append([i for batch in training for i in batch.indices])
    assert orders[0] == orders[2] != orders[1]
    assert len(orders[0]) == len(set(orders[0])) == 10  # of 12: the incomplete batch is left out
    evaluation = loader(dataset(rows, training=False), shuffle=False)
    assert [i for batch in evaluation for i in batch.indices] == list(range(12))


def test_a_repeated_list_is_shuffled_pass_by_pass():
    sampler = EpochSampler(25, batch_size=1, seed=0, shuffle=True, period=10)
    orders = []
    for sampler.epoch in (1, 2):
        keys = list(sampler)
        assert all(epoch == sampler.epoch for epoch, _ in keys)
        orders.append([index for _, index in keys])
        passes = [orders[-1][start : start + 10] for start in (0, 10, 20)]
        assert [sorted(one) for one in passes] == [[*range(10)], [*range(10, 20)], [*range(20, 25)]]
        assert [index - 10 for index in passes[1]] != passes[0] != sorted(passes[0])
    assert orders[0] != orders[1]
    sampler.epoch = 1
    assert [index for _, index in sampler] == orders[0]


def test_memory_does_not_grow_with_repeats(rows):
    peaks = []
    for repeats in (1, 10_000):
        data = dataset(rows, num_samples=len(rows) * repeats)
        tracemalloc.start()
        batches = loader(data, period=len(rows))
        assert len(batches) == len(rows) * repeats // 5
        for _, batch in zip(range(2), batches, strict=False):
            assert len(batch) == 5
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_file_is_named(rows, tmp_path, workers):
    (tmp_path / "cello").mkdir()
    broken = tmp_path / "cello" / "broken.mp3"
    broken.write_bytes(b"not audio")
    row = IndexRow(str(broken), rows[0].frames_path, 4, "train.csv:1")
    with pytest.raises(InputError, match="broken.mp3: cannot be read as audio") as error:
        list(loader(dataset([row, *rows[4:]]), workers=workers, shuffle=False))
    assert "Traceback" not in str(error.value)


def test_colours_that_are_missing(rows, tmp_path):
    write_cloud(tmp_path / "00000.ply", np.zeros((3, 3)))
    row = IndexRow(rows[0].audio_path, str(tmp_path), 1, "train.csv:1")
    result = dataset([row, *rows[4:]])[(0, 0)]
    assert isinstance(result, InputError) and "no colours; use --rgbs_feature 0" in str(result)
    assert not isinstance(dataset([row, *rows[4:]], voxels=VoxelSettings(0.05, colours=False))[(0, 0)], InputError)
