"""Target masks and loss weights by their definitions."""

from __future__ import annotations

import torch

from models.targets import loss_weight, target_masks


def column(*values):
    """Values of N sources at one point: `[N, 1, 1, 1, 1]`."""
    return torch.tensor(values).reshape(-1, 1, 1, 1, 1)


def masks(mixture, *sources, binary=True):
    return target_masks(torch.full((1, 1, 1, 1), mixture), column(*sources), binary).flatten().tolist()


def test_binary_masks_of_two_compare_with_half_the_mixture():
    assert masks(1.0, 0.6, 0.3) == [1, 0]
    assert masks(1.0, 0.5, 0.51) == [0, 1]
    assert masks(1.0, 0.9, 0.8) == [1, 1]  # magnitudes need not add up


def test_binary_masks_of_more_compare_with_each_other():
    assert masks(1.0, 0.2, 0.4, 0.3) == [0, 1, 0]
    assert masks(1.0, 0.4, 0.4, 0.3) == [1, 1, 0]


def test_ratio_masks_are_shares_up_to_five():
    assert masks(2.0, 1.0, 0.5, binary=False) == [0.5, 0.25]
    assert masks(0.1, 1.0, 0.0, binary=False) == [5.0, 0.0]


def test_weights():
    magnitude = torch.tensor([0.0, 1.0, 1e9]).reshape(1, 1, 3, 1)
    expected = torch.tensor([1e-3, torch.log(torch.tensor(2.0)), 10.0]).reshape(1, 1, 3, 1)
    torch.testing.assert_close(loss_weight(magnitude, True), expected)
    torch.testing.assert_close(loss_weight(4 * magnitude, True, 0.25), expected)
    assert torch.equal(loss_weight(magnitude, False), torch.ones(1, 1, 3, 1))
