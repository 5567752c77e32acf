"""Masks cut, kept or shared among the sources and a residual."""

from __future__ import annotations

import pytest
import torch

from models.mask_rules import MASK_RULES, cut, keep, share


def test_masks_cut_and_kept():
    masks = torch.tensor([0.2, 0.5, 0.9])
    assert cut(masks, 0.5).tolist() == [0, 0, 1] and keep(masks, 0.5) is masks


@pytest.mark.parametrize("sources", [1, 2, 4])
def test_shares_add_up_to_one_at_most(sources):
    masks = torch.rand(sources, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    shares = share(masks, 0.5)
    assert shares.shape == masks.shape and (shares >= 0).all() and (shares.sum(dim=0) <= 1 + 1e-6).all()


def test_what_shares_do():
    """A sure source gets all, a point that two claim is halved, and what nobody claims stays in the residual."""
    sure, claimed, nobodys = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]).T
    shares = share(torch.stack([sure, claimed, nobodys], dim=1), 0.5)
    assert shares.T.tolist() == [[1, 0], [0.5, 0.5], [0, 0]]
    assert torch.equal(share(torch.full((2, 1), 0.5), 0.5), torch.full((2, 1), 0.25 / 0.5625))


def test_rules_have_names():
    assert list(MASK_RULES) == ["binary", "soft", "shared"]
