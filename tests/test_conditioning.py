"""The report on whether the model uses the point cloud: its numbers on known estimates, and in a whole evaluation."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from conftest import ROOT
from test_main import TRAIN, fails_in_one_line, main, python
from test_music import dataset as make_dataset

from arguments import parse_arguments
from dataset.collate import collate
from evaluation import class_means
from from_options import build_model
from utils.conditioning import Conditioning, format_conditioning
from utils.errors import InputError
from utils.metrics import score


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def add(conditioning, sources, estimates, absent):
    mixture = sources.sum(0)
    conditioning.add_mixtures(score(sources, estimates, mixture), sources, estimates, mixture, absent)


@pytest.mark.parametrize("num_mix", [2, 3])
def test_estimates_that_follow_and_those_that_do_not(num_mix):
    sources = noise(num_mix, 2, 8000)
    close = sources + 0.1 * noise(num_mix, 2, 8000, seed=1)
    following, deaf = Conditioning(None), Conditioning(None)
    add(following, sources, close, 0.01 * sources[0])
    add(deaf, sources, sources.sum(0).expand(num_mix, 2, -1) + 0.01 * noise(num_mix, 2, 8000, seed=2), sources.sum(0))
    good, bad = following.summary(), deaf.summary()
    assert good["n"] == 2 and good["follows"] == 1.0 and good["sdr"] > 18 and good["sdr_exchanged"] < -5
    assert good["energy_present_db"] == pytest.approx(-10 * np.log10(num_mix), abs=0.5)
    assert good["energy_absent_db"] == pytest.approx(-40 - 10 * np.log10(num_mix), abs=0.5)
    assert abs(bad["sdr"] - bad["sdr_exchanged"]) < 0.5 and bad["energy_absent_db"] == pytest.approx(0, abs=1e-3)
    assert "100.0% of the estimates follow their cloud" in format_conditioning(good)


def test_what_cannot_be_scored_is_left_out():
    conditioning = Conditioning(None)
    sources = noise(2, 2, 4000)
    sources[0, 1] = 0
    add(conditioning, sources, sources + 0.1, sources[0])
    assert conditioning.summary()["n"] == 1
    nothing = Conditioning(None).summary()
    assert nothing["sdr"] is None and format_conditioning(nothing) == "conditioning: no mixture could be scored"


def test_recognition_by_the_nearest_mean():
    conditioning = Conditioning({"cello": torch.tensor([1.0, 0.0]), "violin": torch.tensor([0.0, 1.0])})
    features = torch.tensor([[0.9, 0.2], [0.4, 0.6], [0.1, 3.0]])
    clouds = [("a", (1,)), ("b", (1,)), ("c", (1,))]
    conditioning.add_features(features, ["cello", "cello", "violin"], clouds)
    conditioning.add_features(features[:1], ["cello"], clouds[:1])  # the same cloud again
    found = conditioning.summary()["recognition"]
    assert found == {
        "accuracy": pytest.approx(2 / 3),
        "n": 3,
        "confusion": {"cello": {"cello": 1, "violin": 1}, "violin": {"cello": 0, "violin": 1}},
    }


def test_mean_features_are_read_through_the_cache(tmp_path, tiny_options):
    options = parse_arguments([*tiny_options, "--list_train", "list.csv", "--cache", "cache"])
    model = build_model(options)
    means = class_means(model, options)
    assert sorted(means) == ["cello", "saxophone", "violin"]
    assert list((tmp_path / "cache" / "clouds").rglob("*.bin"))
    again = class_means(model, options)
    assert all(torch.equal(means[name], again[name]) for name in means)


def test_an_absent_musician_never_plays(rows):
    data = make_dataset(rows, training=False, with_absent=True)
    plain = make_dataset(rows, training=False)
    absent = []
    for index in range(len(rows)):
        draws = data.draw(index, np.random.default_rng(index))
        absent.append(data.draw_absent(index, draws))
        assert absent[-1].row.instrument not in {draw.row.instrument for draw in draws}
        assert absent[-1] == data.draw_absent(index, draws)
    assert len({draw.row.frames_path for draw in absent}) > 3
    sample, without = data[0, 0], plain[0, 0]
    assert len(sample.clouds) == 3 and len(without.clouds) == 2 and np.array_equal(sample.waves, without.waves)
    batch = collate([sample, data[0, 1]])
    assert batch.clouds[0][:, 0].max() == 3 and batch.absent[0][:, 0].max() == 1 and collate([without]).absent is None
    with pytest.raises(InputError, match="needs an instrument that does not play, and the list has 3"):
        make_dataset(rows, num_mix=3, with_absent=True)


@pytest.mark.parametrize("num_mix", [2, 4])
def test_sources_may_be_of_one_instrument(rows, num_mix):
    data = make_dataset(rows, training=True, distinct=False, num_mix=num_mix)
    kinds = []
    for index in range(60):
        draws = data.draw(index, np.random.default_rng(index))
        assert draws[0].row == rows[index % len(rows)]
        assert len({draw.row.audio_path for draw in draws}) == num_mix  # but never one recording twice
        kinds.append(len({draw.row.instrument for draw in draws}))
    assert min(kinds) < num_mix and (num_mix == 4 or max(kinds) == 2)
    with pytest.raises(InputError, match=r"holds 3 recording\(s\), a mixture needs 4"):
        make_dataset(rows[:3], distinct=False, num_mix=4)


@pytest.fixture(scope="module")
def tree(data_tree):
    assert python(data_tree, ROOT / "scripts" / "create_index_files.py").returncode == 0
    trained = main(data_tree, *TRAIN, "--id", "looks")
    assert trained.returncode == 0, trained.stderr
    return data_tree, next((data_tree / "ckpt").glob("looks-*"))


def test_the_report_of_an_evaluation(tree):
    root, run = tree
    options = ["--mode", "eval", "--id", run.name, "--list_val", "data/test.csv", "--num_vis", "0"]
    assert main(root, *options).returncode == 0
    before = json.loads((run / "metrics.json").read_text())
    result = main(root, *options, "--conditioning_report", "1")
    assert result.returncode == 0, result.stderr
    summary = json.loads((run / "metrics.json").read_text())
    report = summary["conditioning"]
    assert report["n"] == 6 and report["sdr"] == pytest.approx(summary["sdr"]) == pytest.approx(before["sdr"])
    assert report["recognition"]["n"] > 3 and set(report["recognition"]["confusion"]) == {
        "cello",
        "saxophone",
        "violin",
    }
    assert "clouds exchanged: SDR" in result.stdout and "clouds exchanged" in (run / "report" / "data.js").read_text()
    assert (run / "report" / "figures" / "recognition.png").exists()
    mixed = main(root, *options, "--num_mix", "3", "--conditioning_report", "1")
    fails_in_one_line(mixed, "--conditioning_report 1 needs an instrument that does not play")


def test_likeness_is_reported_apart(tree):
    root, run = tree
    options = ["--mode", "eval", "--id", run.name, "--list_val", "data/train.csv", "--num_vis", "0", "--distinct", "0"]
    result = main(root, *options)
    assert result.returncode == 0, result.stderr
    summary = json.loads((run / "metrics.json").read_text())
    parts = summary["by_likeness"]
    assert set(parts) == {"distinct", "same_instrument"}
    assert sum(part["n"] for part in parts.values()) == summary["n_scored"]
    assert any(len(set(pair.split("+"))) == 1 for pair in summary["per_pair"])
