"""BSS Eval and SI-SDR: known answers, equality with mir_eval, what cannot be scored; tables of an evaluation."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from runs.table import EvaluationTable, format_summary
from utils import bss_eval
from utils.metrics import COLUMNS, METRICS, Scores, score, si_sdr

LENGTH = 3000


def noise(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


SOURCES = 0.1 * noise(2, 1, 20_000)
OTHER = SOURCES.flip(0)
NOISE = 0.1 * noise(2, 1, 20_000, seed=1)


def score_one(sources, estimates) -> Scores:
    (scores,) = score(sources, estimates, sources.sum(dim=0))
    return scores


def equal(found: Scores, expected: Scores, tolerance_db=1e-4):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=tolerance_db, err_msg=name)


def test_interference_and_artifacts_at_a_known_level():
    scores = score_one(SOURCES, SOURCES + 0.1 * OTHER)
    np.testing.assert_allclose(scores["sir"], 20, atol=0.5)
    scores = score_one(SOURCES, SOURCES + 0.1 * NOISE)
    np.testing.assert_allclose(scores["sar"], 20, atol=0.5)
    np.testing.assert_allclose(scores["sdr_mixture"], 0, atol=0.5)


def test_a_filtered_source_counts_as_right_for_bss_eval_alone():
    filtered = torch.stack([SOURCES, SOURCES.roll(1, -1), SOURCES.roll(2, -1)])
    scores = score_one(SOURCES, (torch.tensor([0.5, 0.3, -0.1])[:, None, None, None] * filtered).sum(0))
    assert scores["sdr"].min() > 40 and scores["si_sdr"].max() < 10


def test_sources_are_not_exchanged():
    assert score_one(SOURCES, OTHER)["sdr"].max() < -10


def mixtures(num_sources):
    """Four mixtures, `[N, 4, L]` and `[4, L]`: white, silent-tailed, with nearly perfect estimates, coloured."""
    sources = noise(num_sources, 4, LENGTH)
    sources[:, 3] = 1e-3 * sources[:, 3].cumsum(dim=-1)
    errors = torch.tensor([0.3, 0.1, 1e-5, 1e-4])[:, None]
    estimates = sources + errors * (sources.roll(1, 0) + noise(num_sources, 4, LENGTH, seed=1) * sources.std())
    for waves in (sources, estimates):
        waves[:, 1, LENGTH // 2 :] = 0
    return sources, estimates, sources.sum(dim=0) + 0.1 * sources.std() * noise(4, LENGTH, seed=2)


@pytest.mark.parametrize("num_sources", [1, 2])
def test_fast_equals_mir_eval(device, num_sources):
    waves = mixtures(num_sources)
    fast = score(*(w.to(device) for w in waves))
    for found, expected in zip(fast, score(*waves, "mir_eval"), strict=True):
        equal(found, expected)
    assert fast[2]["sdr"].min() > 80


@pytest.mark.parametrize("num_sources", [3, 4])
def test_fast_equals_mir_eval_with_more_sources(device, num_sources):
    """One mixture with estimates from bad to nearly perfect, one of them silent-tailed: mir_eval is slow here."""
    sources = noise(1, num_sources, LENGTH)
    sources[:, 1, LENGTH // 2 :] = 0
    errors = torch.tensor([0.3, 0.1, 1e-5, 1e-4])[:num_sources, None] * noise(1, num_sources, LENGTH, seed=1)
    waves = sources, sources + errors, sources[:, :0]
    found = bss_eval.fast_bss_eval(*(w.to(device) for w in waves))
    for name, a, b in zip(("sdr", "sir", "sar"), found, bss_eval.mir_eval_bss_eval(*waves), strict=False):
        np.testing.assert_allclose(a.cpu(), b, rtol=0, atol=1e-4, err_msg=name)
    assert found[0].max() > 80 and found[3].shape == (1, num_sources, 0)


def test_many_mixtures_at_once(monkeypatch):
    waves = mixtures(2)
    one_by_one = score(*waves)
    monkeypatch.setattr(bss_eval, "AT_ONCE", {"cpu": 3})
    for found, expected in zip(score(*waves), one_by_one, strict=True):
        equal(found, expected, 1e-9)


def test_dependent_sources(device):
    """The same recording twice: no Gram matrix of all sources, SIR without limit, SDR and SAR as they were."""
    sources = noise(1, 1, LENGTH).expand(2, -1, -1)
    estimates = sources + 0.1 * noise(2, 1, LENGTH, seed=1)
    scores = score_one(sources.to(device), estimates.to(device))
    (expected,) = score(sources, estimates, sources.sum(dim=0), "mir_eval")
    np.testing.assert_allclose(scores["sdr"], expected["sdr"], atol=1e-4)
    np.testing.assert_allclose(scores["sar"], expected["sar"], atol=1e-4)
    assert scores["sir"].min() > 100


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("value", [0.0, 1e-10, math.nan, math.inf])
def test_what_cannot_be_scored_leaves_the_rest_alone(device, which, value):
    waves = [w[..., :3, :].to(device) for w in mixtures(2)]
    expected = score(*waves)
    waves = [w.clone() for w in waves]
    waves[which][..., 1, :] = value
    first, silent, last = score(*waves)
    assert silent is None
    equal(first, expected[0], 1e-9)
    equal(last, expected[2], 1e-9)
    assert score(*(w[..., 1:2, :] for w in waves)) == [None]


def test_si_sdr_known_answers(device):
    t = torch.arange(LENGTH, device=device) / LENGTH
    source, error = torch.sin(2 * math.pi * 10 * t).double(), torch.sin(2 * math.pi * 11 * t).double()
    assert si_sdr(source, source + 0.1 * error).item() == pytest.approx(20, abs=1e-4)
    assert si_sdr(source, -3 * (source + 0.1 * error)).item() == pytest.approx(20, abs=1e-4)
    assert si_sdr(7 * source, source + 0.1 * error).item() == pytest.approx(20, abs=1e-4)
    offset = 0.1 / math.sqrt(2)  # the energy of the error: means are not removed
    assert si_sdr(source, source + offset).item() == pytest.approx(20, abs=1e-4)


def test_si_sdr_stands_beside_that_of_the_mixture():
    t = torch.arange(LENGTH) / LENGTH
    sources = torch.stack([torch.sin(2 * math.pi * 10 * t), 0.1 * torch.sin(2 * math.pi * 11 * t)])[:, None]
    scores = score_one(sources, sources + 0.1 * sources.flip(0))
    np.testing.assert_allclose(scores["si_sdr_mixture"], [20, -20], atol=1e-3)
    np.testing.assert_allclose(scores["si_sdr"], [40, 0], atol=1e-3)


def scores_of(*values):
    """Scores of two sources whose mixture has 0 dB."""
    values, zero = np.array(values, dtype=float), np.zeros(len(values))
    known = {"sdr": values, "sir": values + 1, "sar": values + 2, "sdr_mixture": zero}
    return dict.fromkeys(COLUMNS, zero) | known | {"si_sdr": values - 1, "si_sdr_mixture": zero - 0.5}


def made_of(index, *instruments):
    columns = {"index": index, "num_sources": len(instruments)}
    for n, instrument in enumerate(instruments, 1):
        columns |= {f"instrument_{n}": instrument, f"audio_{n}": f"{instrument}/{index}.mp3"}
    return columns


def filled_table():
    table = EvaluationTable()
    table.add(made_of(0, "violin", "cello"), scores_of(6, 2))
    table.add(made_of(1, "cello", "guitar"), None)
    table.add(made_of(2, "cello", "violin"), scores_of(4, 10))
    table.add(made_of(3, "guitar", "cello"), scores_of(1, 3))
    table.loss.add(0.4, 3)
    table.loss.add(0.8, 1)
    return table


def test_means_count_scored_mixtures_only():
    summary = filled_table().summary()
    assert summary["sdr"] == pytest.approx((4 + 7 + 2) / 3)
    assert summary["si_sdr"] == pytest.approx(summary["sdr"] - 1)
    assert summary["sdr_improvement"] == pytest.approx(summary["sdr"])
    assert summary["si_sdr_improvement"] == pytest.approx(summary["si_sdr"] + 0.5)
    assert (summary["n_mixtures"], summary["n_scored"]) == (4, 3)
    assert summary["loss"] == pytest.approx(0.5)
    text = format_summary(summary)
    assert "SI-SDR" in text and text.endswith("3 of 4 mixtures scored, 1 unscored")


def test_scores_by_instrument_and_by_pair(tmp_path):
    filled_table().write(tmp_path, list_val="test.csv")
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["list_val"] == "test.csv"
    assert {name: part["n"] for name, part in content["per_instrument"].items()} == {
        "cello": 3,
        "guitar": 1,
        "violin": 2,
    }
    assert content["per_instrument"]["cello"]["sdr"] == pytest.approx((2 + 4 + 3) / 3)
    assert content["per_instrument"]["violin"]["sir"] == pytest.approx((6 + 10) / 2 + 1)
    assert content["per_instrument"]["violin"]["si_sdr_improvement"] == pytest.approx((6 + 10) / 2 - 1 + 0.5)
    assert list(content["per_pair"]) == ["cello+guitar", "cello+violin"]
    assert content["per_pair"]["cello+violin"]["n"] == 2
    assert content["per_pair"]["cello+violin"]["sdr"] == pytest.approx((4 + 7) / 2)
    assert content["unscored"] == [{"index": 1, "audio": ["cello/1.mp3", "guitar/1.mp3"]}]


def test_more_than_two_sources_are_no_pair(tmp_path):
    table = EvaluationTable()
    table.add(made_of(0, "violin", "guitar", "cello"), scores_of(1, 2, 3))
    table.write(tmp_path)
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert list(content["per_combination"]) == ["cello+guitar+violin"] and "per_pair" not in content


def test_nothing_scored_is_not_zero(tmp_path):
    table = EvaluationTable()
    table.add(made_of(0, "cello", "violin"), None)
    assert np.isnan(table.summary()["sdr"])
    table.write(tmp_path)
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["sdr"] is None and content["per_instrument"] == {} and len(content["unscored"]) == 1


def test_an_infinite_score_is_null_in_json(tmp_path):
    table = EvaluationTable()
    table.add(made_of(0, "cello", "violin"), scores_of(math.inf, 1))
    table.write(tmp_path)
    text = (tmp_path / "metrics.json").read_text()
    assert "Infinity" not in text and json.loads(text)["per_instrument"]["cello"]["sdr"] is None


def test_log_spectral_distance_of_levels():
    """A signal of half the level is 6.02 dB away in every bin that is not silent; silence has the floor's level."""
    white = noise(1, 1, 20_000)[0]
    distance = METRICS["lsd"].compute
    assert distance(white, 0.5 * white) == pytest.approx(20 * math.log10(2), abs=1e-6)
    assert distance(white, white) == 0 and distance(0 * white, 0 * white) == 0
    assert 40 < distance(white, 0 * white) < 100


def test_multi_resolution_stft_distance_of_levels():
    """Of half the level: convergence 0.5, log magnitudes ln 2 apart."""
    white = noise(1, 1, 20_000)[0]
    distance = METRICS["mr_stft"].compute
    assert distance(white, 0.5 * white) == pytest.approx(0.5 + math.log(2), abs=1e-6)
    assert distance(white, white) == 0 and distance(white, -white) == 0  # of magnitudes


@pytest.mark.parametrize("name", ["lsd", "mr_stft"])
def test_distances_of_a_batch(name, device):
    """As of its waveforms one by one, and against one mixture for all sources; short waveforms too."""
    distance = METRICS[name].compute
    sources, estimates = noise(3, 2, 700).to(device), noise(3, 2, 700, seed=5).to(device)  # shorter than a window
    mixture = sources.sum(dim=1, keepdim=True)
    for signals in (estimates, mixture):
        found = distance(sources, signals)
        assert found.shape == (3, 2)
        one = distance(sources[1, 0], signals[1, 0])
        torch.testing.assert_close(found[1, 0], one)


def test_a_lower_distance_is_an_improvement():
    assert METRICS["lsd"].improvement(3.0, 5.0) == 2.0 and METRICS["sdr"].improvement(3.0, 5.0) == -2.0
    near = score_one(SOURCES, SOURCES + 0.01 * OTHER)
    assert (near["lsd"] < near["lsd_mixture"]).all() and (near["mr_stft"] < near["mr_stft_mixture"]).all()
