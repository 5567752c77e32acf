"""Learning rates over a training, and a moving average of weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from utils.averaging import MovingAverage
from utils.optimizer import rate_factor


def test_steps_drop_to_a_tenth_after_epochs():
    factors = [rate_factor("step", done, length=2, epochs=4, steps=[1, 3]) for done in range(8)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_a_cosine_falls_to_zero_after_a_warm_up():
    factors = [rate_factor("cosine", done, length=5, epochs=2, warmup=2) for done in range(11)]
    assert factors[0] == pytest.approx(0.5) and factors[5] == pytest.approx(0.5) and factors[10] == pytest.approx(0)
    assert factors[1:] == sorted(factors[1:], reverse=True)


def test_a_moving_average_follows_its_formula():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = MovingAverage(model, decay=0.5)
    expected = model[0].weight.detach().clone()
    for n in range(1, 13):
        with torch.no_grad():
            model[0].weight += 1
            model[1].running_mean += 1
            model[1].num_batches_tracked += 1
        kept = min(0.5, (1 + n) / (10 + n))
        expected = kept * expected + (1 - kept) * model[0].weight.detach()
        average.update_parameters(model)
    torch.testing.assert_close(average.module[0].weight.detach(), expected)
    start = model[0].weight.detach() - 12  # buffers begin at zero and are raised alike
    torch.testing.assert_close(average.module[1].running_mean, (expected - start)[:, 0])
    assert average.module[1].num_batches_tracked == 12
