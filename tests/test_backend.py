"""Both sparse engines give the same numbers. The live comparison runs where scripts/install_minkowski.sh has run."""

from __future__ import annotations

import pytest
import torch

from models import sparse
from models.backend import choose_engine, engine_name, import_minkowski, shells, supports
from models.minkowski_net import SparseResNet18
from utils.errors import InputError

MINKOWSKI = import_minkowski()
needs_minkowski = pytest.mark.skipif(MINKOWSKI is None, reason="MinkowskiEngine is not installed")
CPU = torch.device("cpu")

LAYERS = {
    "conv 5^3 stride 2, 3 channels": lambda ME: ME.MinkowskiConvolution(3, 8, kernel_size=5, stride=2, dimension=3),
    "conv 5^3": lambda ME: ME.MinkowskiConvolution(3, 8, kernel_size=5, dimension=3),
    "conv 3^3": lambda ME: ME.MinkowskiConvolution(6, 8, kernel_size=3, dimension=3),
    "conv 3^3 stride 2": lambda ME: ME.MinkowskiConvolution(6, 8, kernel_size=3, stride=2, dimension=3),
    "conv 3^3 stride 3": lambda ME: ME.MinkowskiConvolution(6, 8, kernel_size=3, stride=3, dimension=3),
    "conv 2^3 stride 2": lambda ME: ME.MinkowskiConvolution(6, 8, kernel_size=2, stride=2, dimension=3),
    "conv 1^3": lambda ME: ME.MinkowskiConvolution(6, 8, kernel_size=1, dimension=3),
    "conv 1^3 stride 2": lambda ME: ME.MinkowskiConvolution(6, 8, kernel_size=1, stride=2, dimension=3),
    "average pool": lambda ME: ME.MinkowskiAvgPooling(kernel_size=2, stride=2, dimension=3),
    "global max pool": lambda ME: ME.MinkowskiGlobalMaxPooling(),
    "batch norm": lambda ME: ME.MinkowskiBatchNorm(6),
    "relu": lambda ME: ME.MinkowskiReLU(),
    "linear": lambda ME: ME.MinkowskiLinear(6, 8),
}


def close(found, expected, relative=1e-4):
    torch.testing.assert_close(found, expected, rtol=relative, atol=relative * expected.abs().max().item() + 1e-12)


def by_coordinate(tensor):
    """Rows of a sparse tensor sorted by coordinate: coordinates `[V, 4]`, features `[V, C]`."""
    coordinates = tensor.C.long().cpu()
    key = coordinates[:, 0]
    for axis in (1, 2, 3):
        key = key * 2**15 + coordinates[:, axis] + 2**14
    order = key.argsort()
    return coordinates[order], tensor.F[order.to(tensor.F.device)]


def run_layer(ME, build, coordinates, features, state=None):
    torch.manual_seed(0)
    layer = build(ME).to(features.device)
    if state is not None:
        layer.load_state_dict(state)
    features = features.clone().requires_grad_()
    output_coordinates, output = by_coordinate(layer(ME.SparseTensor(features, coordinates)))
    weight = torch.linspace(-1, 1, output.numel(), device=output.device).reshape(output.shape)
    (weight * output + 0.5 * output.square()).sum().backward()
    gradients = [p.grad for p in layer.parameters()]
    return output_coordinates, output.detach(), features.grad, gradients, layer.state_dict()


def random_batch(kind):
    generator = torch.Generator().manual_seed(len(kind))
    if kind == "single voxel":
        return torch.tensor([[0, -7, 3, 5]], dtype=torch.int32)
    if kind == "200,000 voxels":
        return shells(1, 200_000)[0]
    if kind == "64 clouds":
        clouds, voxels, reach = 64, 60, 9
    else:
        clouds, voxels, reach = 3, 700, 12
    coordinates = torch.randint(-reach, reach, (clouds * voxels, 4), generator=generator, dtype=torch.int32)
    coordinates[:, 0] = torch.arange(clouds).repeat_interleave(voxels)
    coordinates = torch.unique(coordinates, dim=0)
    return coordinates[torch.randperm(len(coordinates), generator=generator)]


@needs_minkowski
@pytest.mark.parametrize("kind", ["negative", "64 clouds", "single voxel", "200,000 voxels"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_agree(name, kind, device):
    if not supports(MINKOWSKI, device):
        pytest.skip(f"MinkowskiEngine is not built for {device}")
    coordinates = random_batch(kind).to(device)
    if kind == "single voxel" and name == "batch norm":
        pytest.skip("batch statistics need more than one voxel")
    channels = 3 if name.endswith("3 channels") or name == "conv 5^3" else 6
    features = torch.randn(len(coordinates), channels, generator=torch.Generator().manual_seed(1)).to(device)
    ours = run_layer(sparse, LAYERS[name], coordinates, features)
    theirs = run_layer(MINKOWSKI, LAYERS[name], coordinates, features, ours[-1])
    assert torch.equal(ours[0], theirs[0])
    close(ours[1], theirs[1])
    if kind in ("single voxel", "200,000 voxels") and name == "global max pool":
        return  # with a single cloud MinkowskiEngine 0.5.4 sends the gradient elsewhere than to the maximum
    close(ours[2], theirs[2])
    for found, expected in zip(ours[3], theirs[3], strict=True):
        close(found, expected)


@needs_minkowski
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("clouds", "voxels"), [(2, 300), (5, 2000), (64, 150)])
def test_networks_agree(clouds, voxels, training):
    """In double precision: batch normalisation over a few voxels at stride 64 magnifies float32 rounding."""
    torch.manual_seed(0)
    ours, theirs = SparseResNet18(8, sparse).double(), SparseResNet18(8, MINKOWSKI).double()
    theirs.load_state_dict(ours.state_dict())
    coordinates, features = shells(clouds, voxels)
    features = features.double()
    outputs = []
    for net in (ours.train(training), theirs.train(training)):
        output = net(coordinates, features)
        output.square().sum().backward()
        outputs.append(output.detach())
    close(outputs[0], outputs[1])
    for (name, found), expected in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert (found.grad - expected.grad).norm() <= 1e-6 * expected.grad.norm() + 1e-12, name
    for found, expected in zip(ours.buffers(), theirs.buffers(), strict=True):
        close(found.double(), expected.double())


@needs_minkowski
@pytest.mark.parametrize(("clouds", "voxels"), [(2, 30), (3, 20_000), (64, 150)])
def test_networks_agree_in_single_precision(clouds, voxels):
    """With the statistics of training data, which rounding does not touch."""
    torch.manual_seed(0)
    ours, theirs = SparseResNet18(8, sparse).eval(), SparseResNet18(8, MINKOWSKI).eval()
    theirs.load_state_dict(ours.state_dict())
    outputs, gradients = [], []
    for net in (ours, theirs):
        coordinates, features = shells(clouds, voxels)
        features.requires_grad_()
        output = net(coordinates, features)
        output.square().sum().backward()
        outputs.append(output.detach())
        gradients.append([features.grad, *(p.grad for p in net.parameters())])
    close(*outputs)
    for found, expected in zip(*gradients, strict=True):
        # Rounding may turn an activation near zero, or the larger of two, whose gradients then go elsewhere.
        assert (found - expected).norm() <= 2e-3 * expected.norm() + 1e-12


@needs_minkowski
@pytest.mark.parametrize("voxels", [1, 300, 200_000])
def test_networks_agree_on_a_single_cloud(voxels):
    torch.manual_seed(0)
    ours, theirs = SparseResNet18(8, sparse).eval(), SparseResNet18(8, MINKOWSKI).eval()
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        close(ours(*shells(1, voxels)), theirs(*shells(1, voxels)))


@needs_minkowski
def test_duplicates_agree():
    coordinates = torch.tensor([[0, 1, 1, 1], [0, 2, 2, 2], [0, 1, 1, 1]], dtype=torch.int32)
    features = torch.tensor([[1.0], [2.0], [3.0]])
    ours, theirs = (by_coordinate(ME.SparseTensor(features, coordinates)) for ME in (sparse, MINKOWSKI))
    assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])


def test_the_cpu_runs_on_the_built_in_engine():
    assert engine_name(choose_engine("auto", CPU)) == "builtin"
    assert choose_engine("builtin", CPU) is sparse


def test_minkowski_on_request(monkeypatch):
    if MINKOWSKI is not None:
        assert engine_name(choose_engine("minkowski", CPU)) == "minkowski" and supports(MINKOWSKI, CPU)
    monkeypatch.setattr("models.backend.import_minkowski", lambda: None)
    with pytest.raises(InputError, match="install_minkowski.sh"):
        choose_engine("minkowski", CPU)


def test_shells_are_about_as_large_as_asked():
    coordinates, features = shells(3, 1000)
    counts = torch.bincount(coordinates[:, 0])
    assert len(counts) == 3 and counts.min() > 900 and counts.max() <= 1000
    assert len(torch.unique(coordinates, dim=0)) == len(coordinates) == len(features)
