"""BSS Eval: known answers, and what cannot be scored."""

from __future__ import annotations

import numpy as np
import pytest

from utils.metrics import bss_eval
from utils.results import EvaluationTable

RNG = np.random.default_rng(0)
SOURCES = RNG.standard_normal((2, 20_000)) * 0.1


def test_interference_and_noise_at_a_known_level():
    other, noise = SOURCES[::-1], 0.1 * RNG.standard_normal(SOURCES.shape)
    scores = bss_eval(SOURCES, SOURCES + 0.1 * other, SOURCES.sum(0))
    np.testing.assert_allclose(scores.sir, 20, atol=0.5)
    scores = bss_eval(SOURCES, SOURCES + 0.1 * noise, SOURCES.sum(0))
    np.testing.assert_allclose(scores.sar, 20, atol=0.5)
    np.testing.assert_allclose(scores.sdr_mixture, 0, atol=0.5)


def test_a_filtered_source_counts_as_right():
    filtered = np.stack([np.convolve(s, [0.5, 0.3, -0.1])[: len(s)] for s in SOURCES])
    assert bss_eval(SOURCES, filtered, SOURCES.sum(0)).sdr.min() > 40


def test_sources_are_not_exchanged():
    assert bss_eval(SOURCES, SOURCES[::-1], SOURCES.sum(0)).sdr.max() < -10


@pytest.mark.parametrize("which", ["source", "estimate"])
def test_silence_is_not_scored(which):
    silent = SOURCES.copy()
    silent[1] = 1e-10
    pair = (silent, SOURCES) if which == "source" else (SOURCES, silent)
    assert bss_eval(*pair, SOURCES.sum(0)) is None


def test_means_count_scored_mixtures_only():
    table = EvaluationTable()
    made_of = {"index": 0, "num_sources": 2}
    good = bss_eval(SOURCES, SOURCES + 0.1 * SOURCES[::-1], SOURCES.sum(0))
    table.add(made_of, good)
    table.add(made_of, None)
    table.loss.add(0.4, 3)
    table.loss.add(0.8, 1)
    summary = table.summary()
    assert summary["sdr"] == pytest.approx(good.sdr.mean())
    assert summary["sdr_improvement"] == pytest.approx(good.sdr.mean() - good.sdr_mixture.mean())
    assert (summary["n_mixtures"], summary["n_scored"]) == (2, 1)
    assert summary["loss"] == pytest.approx(0.5)


def test_nothing_scored_is_not_zero(tmp_path):
    table = EvaluationTable()
    table.add({"index": 0, "num_sources": 2}, None)
    assert np.isnan(table.summary()["sdr"])
    table.write(tmp_path)
    assert '"sdr": null' in (tmp_path / "metrics.json").read_text()
