"""The switches of how exactly a GPU computes are set where they should be, and set back; upsampling by products."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from models.upsampling import Doubling, doubled_by_products
from utils.precision import computing


def switches():
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    return matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("what", "tf32", "deterministic", "expected"),
    [
        ("train", "auto", False, (True, True, True, False)),
        ("eval", "auto", False, (False, False, False, False)),
        ("eval", "yes", False, (True, True, False, False)),
        ("train", "no", False, (False, False, True, False)),
        ("train", "auto", True, (True, True, False, True)),
    ],
)
def test_switches(what, tf32, deterministic, expected):
    before = switches()
    with pytest.raises(KeyError), computing(what, tf32, deterministic):
        assert switches() == expected
        raise KeyError
    assert switches() == before


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (16, 8)])
def test_doubling_by_products(size, layout, device):
    """As PyTorch's interpolation, forward and backward, in the layout that x has."""
    x = torch.randn(2, 5, *size, dtype=torch.float64, device=device).to(memory_format=layout)
    found, expected = x.clone().requires_grad_(), x.clone().requires_grad_()
    ours = doubled_by_products(found)
    theirs = F.interpolate(expected, scale_factor=2, mode="bilinear", align_corners=True)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    weights = torch.randn_like(theirs)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    torch.testing.assert_close(found.grad, expected.grad, rtol=0, atol=1e-12)
    if min(size) > 1:
        assert ours.is_contiguous(memory_format=layout)


def test_doubling_in_half_precision(device):
    """Near to single precision, and under autocast in its precision on a GPU."""
    x = torch.randn(2, 5, 8, 8, device=device)
    exact = Doubling()(x)
    for dtype in (torch.bfloat16, torch.float16):
        half = doubled_by_products(x.to(dtype))
        assert half.dtype == dtype
        torch.testing.assert_close(half.float(), exact, rtol=0.02, atol=0.02)
