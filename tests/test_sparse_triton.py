"""The sparse engine's Triton kernels give the numbers of plain PyTorch: on a GPU, or else in Triton's interpreter."""

from __future__ import annotations

import pytest
import torch
from conftest import ROOT

pytest.importorskip("triton", reason="Triton is not installed")

from models import backend, sparse, sparse_triton  # noqa: E402
from models.backend import shells  # noqa: E402
from models.minkowski_net import SparseResNet18  # noqa: E402
from utils.errors import InputError  # noqa: E402

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CLOSE = 1e-5  # of the largest number


def differ(found, expected):
    return ((found.double() - expected.double()).abs().max() / expected.double().abs().max()).item()


def cloud(clouds, voxels):
    return tuple(part.to(DEVICE) for part in shells(clouds, voxels))


def convolved(engine, size, stride, channels, dtype):
    """Output and gradients of one layer."""
    torch.manual_seed(0)
    coordinates, _ = cloud(2, 60)
    features = torch.randn(len(coordinates), channels[0]).to(DEVICE).requires_grad_()
    layer = engine.MinkowskiConvolution(*channels, kernel_size=size, stride=stride, dimension=3).to(DEVICE)
    with torch.autocast(DEVICE.type, dtype, enabled=dtype != torch.float32):
        output = layer(engine.SparseTensor(features, coordinates)).F
    (output * torch.linspace(-1, 1, output.numel(), device=DEVICE).view_as(output)).sum().backward()
    return output.detach(), features.grad, layer.kernel.grad


@pytest.mark.parametrize(("size", "stride"), [(5, 2), (3, 1), (3, 2), (1, 2)])
@pytest.mark.parametrize("channels", [(3, 20), (24, 17)])
def test_convolution(size, stride, channels):
    found, expected = (convolved(engine, size, stride, channels, torch.float32) for engine in (sparse_triton, sparse))
    for part, other in zip(found, expected, strict=True):
        assert part.dtype == torch.float32 and differ(part, other) < CLOSE


def test_convolution_of_more_channels_than_a_tile():
    found, expected = (convolved(engine, 3, 2, (70, 68), torch.float32) for engine in (sparse_triton, sparse))
    assert max(map(differ, found, expected)) < CLOSE


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_convolution_in_half_precision(dtype):
    """As far from single precision as plain PyTorch is, or nearer: sums are single precision."""
    if dtype == torch.bfloat16 and DEVICE.type == "cpu":
        pytest.skip("Triton's interpreter multiplies the bits of bfloat16 as integers (3.7)")
    exact = convolved(sparse, 3, 1, (24, 17), torch.float32)
    found, plain = (convolved(engine, 3, 1, (24, 17), dtype) for engine in (sparse_triton, sparse))
    for one, other, true in zip(found, plain, exact, strict=True):
        assert one.dtype == torch.float32 and 0 < differ(one, true) < 1.5 * differ(other, true) + 1e-4


def looked(engine, groups, training=True):
    """Output, gradients and buffers of a narrow vision net."""
    torch.manual_seed(1)
    net = SparseResNet18(5, engine).to(DEVICE).train(training)
    coordinates, features = cloud(2 * groups, 50)
    features.requires_grad_()
    seen = net(coordinates, features, group_size=2)
    (seen * torch.linspace(-1, 1, seen.numel(), device=DEVICE).view_as(seen) + 0.1 * seen.square()).sum().backward()
    return [seen.detach(), features.grad, *(p.grad for p in net.parameters())], list(net.buffers())


@pytest.mark.parametrize("groups", [1, 3])
def test_vision_net(groups, monkeypatch):
    """Batch norm by groups, its running statistics and every gradient."""
    monkeypatch.setattr("models.minkowski_net.STAGE_CHANNELS", (6, 8, 10, 12))
    (found, buffers), (expected, plain) = (looked(engine, groups) for engine in (sparse_triton, sparse))
    for part, other in zip(found, expected, strict=True):
        assert differ(part, other) < 20 * CLOSE  # through 22 layers
    for buffer, other in zip(buffers, plain, strict=True):
        torch.testing.assert_close(buffer, other, rtol=1e-4, atol=1e-6)
    assert buffers[2] == groups


def test_a_group_of_one_voxel():
    coordinates = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]], device=DEVICE)
    x = sparse_triton.SparseTensor(torch.ones(3, 4, device=DEVICE), coordinates, group_size=1)
    with pytest.raises(ValueError, match="single voxel in group 1"):
        sparse_triton.MinkowskiBatchNorm(4).to(DEVICE)(x)


def test_double_precision_takes_the_plain_way():
    coordinates, features = cloud(2, 60)
    layer = sparse_triton.MinkowskiConvolution(3, 4, kernel_size=3, dimension=3).to(DEVICE).double()
    found = layer(sparse_triton.SparseTensor(features.double(), coordinates)).F
    assert torch.equal(found, layer(sparse.SparseTensor(features.double(), coordinates)).F)


def test_engine_by_name(monkeypatch):
    assert backend.engine_name(sparse_triton) == "triton" and backend.engine_name(sparse) == "builtin"
    with pytest.raises(InputError, match="--sparse_backend triton: it is for cuda"):
        backend.choose_engine("triton", torch.device("cpu"))
    assert backend.choose_engine("triton", torch.device("cuda")) is sparse_triton
    monkeypatch.setattr(backend, "import_triton", lambda: None)
    with pytest.raises(InputError, match="--sparse_backend triton: not installed"):
        backend.choose_engine("triton", torch.device("cuda"))
    monkeypatch.setattr(backend, "import_triton", lambda: sparse_triton)
    monkeypatch.setattr(backend, "import_minkowski", lambda: None)
    monkeypatch.setattr(
        backend,
        "time_pass",
        lambda engine, device: {"models.sparse": 2.0, "models.sparse_triton": 1.0}[engine.__name__],
    )
    assert backend.choose_engine("auto", torch.device("cuda")) is sparse_triton


def test_an_engine_that_does_not_compile_is_left_out(monkeypatch, capfd):
    def time_pass(engine, device):
        if engine is not sparse:
            raise RuntimeError("no kernel image\nand more")
        return 1.0

    monkeypatch.setattr(backend, "import_triton", lambda: sparse_triton)
    monkeypatch.setattr(backend, "import_minkowski", lambda: None)
    monkeypatch.setattr(backend, "time_pass", time_pass)
    assert backend.choose_engine("auto", torch.device("cuda")) is sparse
    assert (
        "note: the sparse engine triton does not run here (no kernel image); another is taken" in capfd.readouterr().out
    )


def test_nothing_is_added_with_atomics():
    """Their order, and so the rounding, would be another one every time."""
    for path in (ROOT / "models" / "sparse_triton").glob("*.py"):
        assert "tl.atomic" not in path.read_text()
