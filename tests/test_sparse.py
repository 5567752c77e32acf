"""The built-in sparse engine: MinkowskiEngine's numbers, dense convolution as a limit, gradients, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from reference import VECTORS
from torch.utils._python_dispatch import TorchDispatchMode

from models import sparse as ME
from models.minkowski_net import SparseResNet18
from models.sparse import coordinates as coordinates_module
from models.sparse.coordinates import INTEGERS, MAX_COORDINATE, CoordinateMap
from models.sparse.kernel_map import KernelMap, kernel_offsets

LAYERS = {"conv_k5_s2": (5, 2), "conv_k3_s1": (3, 1), "conv_k3_s2": (3, 2), "conv_k1_s2": (1, 2), "conv_k2_s2": (2, 2)}


@pytest.fixture(scope="module")
def vectors():
    return dict(np.load(VECTORS / "sparse_ops.npz"))


@pytest.fixture(params=["table", "bisection"])
def lookup(request, monkeypatch):
    """Runs a test with either way of finding voxels."""
    if request.param == "bisection":
        monkeypatch.setattr(coordinates_module, "MAX_TABLE_CELLS", 0)


def sorted_rows(tensor):
    """Coordinates and features with rows sorted by coordinate, batch first."""
    coordinates = tensor.C.cpu().numpy()
    order = np.lexsort(coordinates.T[::-1])
    return coordinates[order], tensor.F.detach().cpu().numpy()[order]


def input_tensor(vectors, device):
    features = torch.from_numpy(vectors["features_8"]).to(device).requires_grad_()
    return features, ME.SparseTensor(features, torch.from_numpy(vectors["coordinates"]).to(device))


def convolution(kernel, size, stride, device):
    layer = ME.MinkowskiConvolution(*kernel.shape[-2:], kernel_size=size, stride=stride, dimension=3).to(device)
    layer.kernel.data.copy_(torch.as_tensor(kernel).reshape(layer.kernel.shape))
    return layer


@pytest.mark.parametrize("name", LAYERS)
def test_convolution_reference(vectors, name, device, lookup):
    features, x = input_tensor(vectors, device)
    layer = convolution(vectors[f"{name}_kernel"], *LAYERS[name], device)
    y = layer(x)
    coordinates, output = sorted_rows(y)
    np.testing.assert_array_equal(coordinates, vectors[f"{name}_out_coordinates"])
    np.testing.assert_allclose(output, vectors[f"{name}_out_features"], rtol=1e-4, atol=1e-5)
    (0.5 * y.F.square().sum()).backward()
    np.testing.assert_allclose(features.grad.cpu(), vectors[f"{name}_grad_features"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(layer.kernel.grad.cpu(), vectors[f"{name}_grad_kernel"], rtol=1e-4, atol=1e-3)


def test_average_pool_reference(vectors, device):
    features, x = input_tensor(vectors, device)
    y = ME.MinkowskiAvgPooling(kernel_size=2, stride=2, dimension=3)(x)
    coordinates, output = sorted_rows(y)
    np.testing.assert_array_equal(coordinates, vectors["avg_pool_k2_s2_out_coordinates"])
    np.testing.assert_allclose(output, vectors["avg_pool_k2_s2_out_features"], rtol=1e-5, atol=1e-6)
    (0.5 * y.F.square().sum()).backward()
    np.testing.assert_allclose(features.grad.cpu(), vectors["avg_pool_k2_s2_grad_features"], rtol=1e-5, atol=1e-6)


def test_global_max_pool_reference(vectors, device):
    features, x = input_tensor(vectors, device)
    y = ME.MinkowskiGlobalMaxPooling()(x)
    np.testing.assert_allclose(y.F.detach().cpu(), vectors["global_max_pool_out_features"], rtol=1e-6)
    np.testing.assert_array_equal(y.C[:, 0].cpu(), [0, 1])
    (0.5 * y.F.square().sum()).backward()
    np.testing.assert_allclose(features.grad.cpu(), vectors["global_max_pool_grad_features"], rtol=1e-6)


def test_chain_reference(vectors, device):
    _, x = input_tensor(vectors, device)
    for number, stride in enumerate((2, 2, 1)):
        x = convolution(vectors[f"chain_kernel_{number}"], 3, stride, device)(x)
    coordinates, output = sorted_rows(x)
    np.testing.assert_array_equal(coordinates, vectors["chain_out_coordinates"])
    np.testing.assert_allclose(output, vectors["chain_out_features"], rtol=1e-4, atol=1e-4)


def full_grid(batch, size, channels, dtype=torch.float64, shift=0):
    coordinates = torch.cartesian_prod(torch.arange(batch), *[torch.arange(size)] * 3)
    features = torch.randn(len(coordinates), channels, dtype=dtype, generator=torch.Generator().manual_seed(0))
    dense = features.reshape(batch, size, size, size, channels).permute(0, 4, 1, 2, 3)
    return coordinates + torch.tensor([0, shift, shift, shift]), features, dense


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize("channels", [3, 6])
def test_full_grid_equals_dense_convolution(size, stride, channels, lookup, way, monkeypatch):
    monkeypatch.setattr("models.sparse.functional.CHUNK_BYTES", 2**15)  # several parts
    monkeypatch.setattr("models.sparse.functional.CHUNK_BYTES_OF_GPU", 2**15)
    coordinates, features, dense = full_grid(2, 6, channels, shift=-4)
    layer = ME.MinkowskiConvolution(channels, 4, kernel_size=size, stride=stride, bias=True, dimension=3).double()
    kernel = layer.kernel.reshape(size, size, size, channels, 4).permute(4, 3, 2, 1, 0)  # the first axis runs fastest
    expected = F.conv3d(dense, kernel, layer.bias.flatten(), stride=stride, padding=size // 2)
    y = layer(ME.SparseTensor(features, coordinates))
    _, output = sorted_rows(y)
    np.testing.assert_allclose(output, expected.detach().permute(0, 2, 3, 4, 1).flatten(0, 3), atol=1e-12)


@pytest.mark.parametrize(("size", "grid"), [(2, 6), (4, 8)])
def test_full_grid_equals_dense_pooling(size, grid):
    coordinates, features, dense = full_grid(2, grid, 3)
    y = ME.MinkowskiAvgPooling(kernel_size=size, stride=size, dimension=3)(ME.SparseTensor(features, coordinates))
    expected = F.avg_pool3d(dense, size).permute(0, 2, 3, 4, 1).flatten(0, 3)
    np.testing.assert_allclose(sorted_rows(y)[1], expected, atol=1e-12)


def random_cloud(voxels=40, batch=2, reach=4, seed=0):
    rng = np.random.default_rng(seed)
    coordinates = np.unique(rng.integers([0] + [-reach] * 3, [batch] + [reach] * 3, (voxels, 4)), axis=0)
    return torch.from_numpy(coordinates)


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (2, 2), (1, 2)])
@pytest.mark.parametrize("channels", [2, 6])  # short rows and long ones
def test_convolution_gradients(size, stride, channels, way):
    coordinates = random_cloud()
    layer = ME.MinkowskiConvolution(channels, 3, kernel_size=size, stride=stride, dimension=3)
    features = torch.randn(len(coordinates), channels, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(layer.kernel.shape, dtype=torch.float64, requires_grad=True)

    def run(features, kernel):
        x = ME.SparseTensor(features, coordinates)
        return torch.func.functional_call(layer, {"kernel": kernel}, x).F

    assert torch.autograd.gradcheck(run, (features, kernel))


def test_pooling_gradients():
    coordinates = random_cloud()
    features = torch.randn(len(coordinates), 2, dtype=torch.float64, requires_grad=True)

    def run(features):
        x = ME.MinkowskiAvgPooling(2, stride=2, dimension=3)(ME.SparseTensor(features, coordinates))
        return ME.MinkowskiGlobalMaxPooling()(x).F

    assert torch.autograd.gradcheck(run, (features,))


@pytest.mark.parametrize("channels", [3, 8])
@pytest.mark.parametrize("voxels", [40, 4000])
def test_gradients_of_gradients_are_refused(channels, voxels, way):
    coordinates = random_cloud(voxels)
    features = torch.randn(len(coordinates), channels, requires_grad=True)
    x = ME.MinkowskiConvolution(channels, 8, kernel_size=3, dimension=3)(ME.SparseTensor(features, coordinates))
    pooled = ME.MinkowskiAvgPooling(2, stride=2, dimension=3)(ME.SparseTensor(features, coordinates))
    for output in (x.F, pooled.F):
        (gradient,) = torch.autograd.grad(output.square().sum(), features, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            gradient.sum().backward()


def test_global_max_pool_passes_nan_on():
    coordinates = torch.tensor([[0, 1, 1, 1], [0, 2, 1, 1], [1, 1, 1, 1], [1, 2, 2, 2]])
    features = torch.tensor([[1.0, 5.0], [2.0, float("nan")], [7.0, 8.0], [9.0, 6.0]], requires_grad=True)
    pooled = ME.MinkowskiGlobalMaxPooling()(ME.SparseTensor(features, coordinates)).F
    torch.testing.assert_close(pooled, torch.tensor([[2.0, float("nan")], [9.0, 8.0]]), equal_nan=True)
    pooled.nan_to_num().sum().backward()
    assert features.grad.tolist() == [[0, 0], [1, 0], [0, 1], [1, 0]]


def test_offsets_run_fastest_along_the_first_axis():
    assert kernel_offsets(3)[:4].tolist() == [[-1, -1, -1], [0, -1, -1], [1, -1, -1], [-1, 0, -1]]
    assert kernel_offsets(2)[:3].tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]


def test_pointwise_stride_2_reads_only_voxels_on_the_coarse_grid():
    coordinates = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 0], [0, 3, 0, 0]])
    x = ME.SparseTensor(torch.tensor([[1.0], [10.0], [100.0]]), coordinates)
    layer = ME.MinkowskiConvolution(1, 1, kernel_size=1, stride=2, dimension=3)
    torch.nn.init.ones_(layer.kernel)
    y = layer(x)
    assert y.C.tolist() == [[0, 0, 0, 0], [0, 2, 0, 0]]
    assert y.F.flatten().tolist() == [1.0, 0.0]


def test_duplicates_keep_the_first():
    coordinates = torch.tensor([[0, 5, 5, 5], [0, 1, 1, 1], [0, 5, 5, 5], [1, 5, 5, 5]])
    x = ME.SparseTensor(torch.tensor([[1.0], [2.0], [3.0], [4.0]]), coordinates)
    assert x.F.flatten().tolist() == [1.0, 2.0, 4.0]
    assert x.C.tolist() == [[0, 5, 5, 5], [0, 1, 1, 1], [1, 5, 5, 5]]


def test_strides_all_at_once_or_one_after_the_other():
    voxels, _ = CoordinateMap.from_coordinates(random_cloud(200, batch=6, reach=40), group_size=2)
    at_once, coarse = voxels.coarser((2, 4, 12)), voxels
    for ratio, found in zip((2, 2, 3), at_once, strict=True):
        (coarse,) = coarse.coarser((ratio,))
        assert found.tensor_stride == coarse.tensor_stride
        torch.testing.assert_close(found.coordinates, coarse.coordinates, rtol=0, atol=0)
        assert found.groups.voxels == coarse.groups.voxels == torch.bincount(coarse.batch // 2).tolist()


def meetings(kernel_map):
    """All (offset, input row, output row) of a kernel map, as its pairs and as its rows, both ways, tell them."""
    pairs = kernel_map.pairs
    from_pairs = {
        (d, i, o)
        for d, rows in enumerate(zip(*(rows.split(pairs.counts) for rows in pairs[:2]), strict=True))
        for i, o in zip(*(part.tolist() for part in rows), strict=True)
    }
    if kernel_map.identity is not None:
        from_pairs |= {(kernel_map.identity, v, v) for v in range(kernel_map.num_outputs)}
    inputs, outputs = len(kernel_map.source), kernel_map.num_outputs
    rows, back = kernel_map.rows.tolist(), kernel_map.rows_back.tolist()
    assert from_pairs == {(d, i, o) for o, row in enumerate(rows) for d, i in enumerate(row) if i != inputs}
    assert from_pairs == {(d, i, o) for i, row in enumerate(back) for d, o in enumerate(row) if o != outputs}
    return from_pairs


def test_clouds_of_a_batch_do_not_touch(lookup):
    near = torch.tensor([[0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]])
    far, _ = CoordinateMap.from_coordinates(near + torch.tensor([0, 0, 0, 2**20]) * near[:, :1])
    found = {(i, o) for _, i, o in meetings(KernelMap(far, far, 3))}
    assert found == {(0, 0), (1, 1), (2, 2), (1, 2), (2, 1)}


@pytest.mark.parametrize(("size", "ratio"), [(5, 1), (3, 1), (3, 2), (5, 2), (2, 2), (3, 3), (5, 4), (4, 4), (6, 2)])
def test_kernel_map_finds_all_neighbours(size, ratio, lookup):
    coordinates = random_cloud(200, 3, 5)
    voxels, _ = CoordinateMap.from_coordinates(coordinates)
    coarse = voxels.coarser((ratio,))[0] if ratio > 1 else voxels
    offsets = kernel_offsets(size).tolist()
    place = {tuple(c): row for row, c in enumerate(coordinates.tolist())}
    expected = {
        (d, place[key], out)
        for out, (b, *u) in enumerate(coarse.coordinates.tolist())
        for d, offset in enumerate(offsets)
        if (key := (b, *(a + o for a, o in zip(u, offset, strict=True)))) in place
    }
    kernel_map = KernelMap(voxels, coarse, size)
    assert meetings(kernel_map) == expected
    if kernel_map.is_partition:
        assert {(i, o) for _, i, o in expected} == set(enumerate(kernel_map.parents.tolist()))


@pytest.mark.parametrize(
    ("coordinates", "message"),
    [
        (torch.zeros(0, 4, dtype=torch.int32), "no voxels"),
        (torch.tensor([[0, 1, 1, 1], [2, 1, 1, 1]]), r"without voxels.*\[1\]"),
        (torch.tensor([[-1, 1, 1, 1]]), "negative"),
        (torch.tensor([[0.0, 1.0, 1.0, 1.0]]), "expected integers"),
        (torch.tensor([[0, 1, 1]]), "expected integers"),
        (torch.tensor([[0, -(2**29), -(2**29), -(2**29)], [0, 2**29, 2**29, 2**29]]), "64 bits"),
        (torch.tensor([[0, 2**30, 0, 0]], dtype=torch.int32), "must lie within"),
        (torch.tensor([[0, 0, 0, -(2**31)]], dtype=torch.int32), "must lie within"),
        (torch.tensor([[0, 0, 2**62, 0], [0, 0, -(2**62), 0]]), "must lie within"),
        (torch.tensor([[0, 1, 1, 1]], dtype=torch.uint32), "expected integers"),
        (torch.tensor([[False] * 4]), "expected integers"),
    ],
)
def test_coordinates_that_cannot_be_used(coordinates, message):
    with pytest.raises(ValueError, match=message):
        ME.SparseTensor(torch.zeros(len(coordinates), 1), coordinates)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_of_every_width(dtype, lookup):
    """Up to the ends of the type, or of what is allowed: the same voxels as in 64 bits, and their neighbours."""
    limits = torch.iinfo(dtype)
    low, high = max(limits.min, -MAX_COORDINATE), min(limits.max, MAX_COORDINATE)
    ends = torch.tensor([[0, low, 0, 1], [0, low + 1, 0, 1], [0, high, 0, 1], [0, high - 1, 1, 1], [1, 3, high, 0]])
    small, wide = ends.to(dtype), ends.long()
    for size, stride in ((3, 1), (5, 2), (2, 2)):
        maps = [CoordinateMap.from_coordinates(rows)[0] for rows in (small, wide)]
        coarse = [voxels.coarser((stride,))[0] if stride > 1 else voxels for voxels in maps]
        assert torch.equal(maps[0].coordinates, ends.int()) and torch.equal(
            coarse[0].coordinates, coarse[1].coordinates
        )
        found = [meetings(KernelMap(a, b, size)) for a, b in zip(maps, coarse, strict=True)]
        assert found[0] == found[1] and len(found[0]) >= 5
    assert {(0, 1), (2, 3)} <= {(i, o) for _, i, o in meetings(KernelMap(maps[0], maps[0], 3))}


def test_rows_must_agree():
    with pytest.raises(ValueError, match="features have 2 rows, coordinates 1"):
        ME.SparseTensor(torch.zeros(2, 1), torch.zeros(1, 4, dtype=torch.int32))


def test_kernel_beyond_the_margin():
    voxels, _ = CoordinateMap.from_coordinates(torch.zeros(1, 4, dtype=torch.int32))
    with pytest.raises(ValueError, match="kernel size 13"):
        KernelMap(voxels, voxels, 13)


def test_pooling_that_overlaps_is_refused():
    with pytest.raises(ValueError, match="even kernel size = stride"):
        ME.MinkowskiAvgPooling(3, stride=2, dimension=3)


def test_relu_and_linear():
    x = ME.SparseTensor(torch.tensor([[-1.0, 2.0]]), torch.zeros(1, 4, dtype=torch.int32))
    assert ME.MinkowskiReLU()(x).F.tolist() == [[0.0, 2.0]]
    assert x.F.tolist() == [[-1.0, 2.0]]
    assert ME.MinkowskiLinear(2, 5)(x).F.shape == (1, 5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("channels", "voxels"), [(3, 40), (8, 40), (8, 4000)])  # table, batched, pairs
def test_autocast_multiplies_in_half_precision(channels, voxels, dtype, device):
    coordinates = random_cloud(voxels).to(device)
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        ME.MinkowskiConvolution(channels, 8, kernel_size=3, stride=2, dimension=3),
        ME.MinkowskiAvgPooling(2, stride=2, dimension=3),
        ME.MinkowskiGlobalMaxPooling(),
    ).to(device)
    features = torch.randn(len(coordinates), channels, device=device)
    results = []
    for enabled in (False, True):
        x = features.clone().requires_grad_()
        with torch.autocast(device.type, dtype, enabled=enabled):
            output = net(ME.SparseTensor(x, coordinates)).F
        net.zero_grad()
        output.square().sum().backward()
        results.append((output.detach(), x.grad, net[0].kernel.grad))
    for exact, half in zip(*results, strict=True):
        assert half.dtype == torch.float32
        error = (half - exact).norm() / exact.norm()
        assert 0 < error < 0.05


class HostWaits(TorchDispatchMode):
    """Counts the operations whose result the host must know before it can launch more."""

    WAITING = {"_local_scalar_dense", "nonzero", "_unique2", "unique_dim", "unique_consecutive", "bincount"}
    WAITING |= {"masked_select", "equal", "repeat_interleave"}

    def __init__(self, monkeypatch):
        super().__init__()
        self.count = 0
        tolist = torch.Tensor.tolist

        def counted(tensor):
            self.count += 1
            return tolist(tensor)

        monkeypatch.setattr(torch.Tensor, "tolist", counted)

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        name = operation.overloadpacket.__name__
        if name == "repeat_interleave" and (keywords or {}).get("output_size") is not None:
            name = "repeat_interleave of known length"
        by_mask = name == "index" and any(i is not None and i.dtype == torch.bool for i in arguments[1])
        self.count += name in self.WAITING or by_mask
        return operation(*arguments, **(keywords or {}))


def test_the_host_waits_once_a_map(monkeypatch):
    net = SparseResNet18(4)
    coordinates = torch.cat([random_cloud(500, 3, 20), random_cloud(500, 3, 20)])  # with duplicates
    features = torch.rand(len(coordinates), 3)
    with HostWaits(monkeypatch) as waits:
        x = ME.SparseTensor(features, coordinates)
        assert waits.count == 1
        net.pool(net.fc(net.features(x))).F.sum().backward()
        manager = x.coordinate_manager
        strides, geometries = set(manager._maps) - {0}, manager._kernel_maps
        assert len(strides) == 7 and len(geometries) == 14
        assert waits.count <= len(strides) + len(geometries)
        before = waits.count
        net.pool(net.fc(net.features(x))).F.sum().backward()
        assert waits.count == before
