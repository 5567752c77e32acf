"""The logistic regression by which heads and persons are told from furniture."""

from __future__ import annotations

import numpy as np
import pytest

from separation.logistic import Logistic


def examples(count=400):
    rng = np.random.default_rng(0)
    labels = rng.random(count) < 0.3
    measures = [{"wide": float(3 + label + rng.normal(0, 0.3)), "noise": float(rng.normal())} for label in labels]
    return measures, labels


def test_likely_is_half_where_both_are_as_frequent():
    model = Logistic(("one", "two"), np.array([1.0, -2.0]), 0.0)
    assert model({"one": 2.0, "two": 1.0}) == 0.5
    assert model({"two": 0.0, "one": 9.0, "three": -99.0}) > 0.99  # by their names
    assert model({"one": -1e9, "two": 0.0}) == pytest.approx(0, abs=1e-9)


def test_fitted():
    measures, labels = examples()
    model = Logistic.fit(measures, labels)
    scores = np.array([model(one) for one in measures])
    assert ((scores > 0.5) == labels).mean() > 0.9
    assert model.names == ("wide", "noise") and model.weights[0] > 10 * abs(model.weights[1])
    # Both kinds count the same, whichever is rarer: the limit is amid the two.
    limit = -model.alone / model.weights[0]
    assert limit == pytest.approx(3.5, abs=0.1)


def test_the_same_again_and_from_its_file(tmp_path):
    model = Logistic.fit(*examples())
    text = model.text("a comment")
    assert text == Logistic.fit(*examples()).text("a comment") and text.startswith("# a comment\nwide ")
    (tmp_path / "weights.txt").write_text(text)
    read = Logistic.read(tmp_path / "weights.txt")
    assert read.names == model.names
    np.testing.assert_allclose(np.append(read.weights, read.alone), np.append(model.weights, model.alone), rtol=1e-3)
