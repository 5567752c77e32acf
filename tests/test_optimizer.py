"""Learning rates over a training."""

from __future__ import annotations

import pytest
import torch

from utils.optimizer import set_learning_rates


def test_rates_drop_to_a_tenth_after_epochs():
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": 2.0, "initial_lr": 2.0}])
    rates = []
    for epoch in range(1, 5):
        set_learning_rates(optimizer, [1, 3], epoch)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([2, 0.2, 0.2, 0.02])
