"""One pass over groups of clouds: the numbers of a pass for each group in turn, as the reference has it."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from reference import voxels, waves

from models import ModelBuilder, SeparationNet, sparse
from models.backend import import_minkowski, shells
from models.minkowski_net import SparseResNet18, apart

CLOUDS, VOXELS, CHANNELS = 2, 250, 5  # of a group, of a cloud, out of the net


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """A net of few channels, which is as deep and much faster."""
    monkeypatch.setattr("models.minkowski_net.STAGE_CHANNELS", (12, 16, 20, 24))


def passes(net, coordinates, features, group_size):
    """The reference's way: the net run once for each group, in their order."""
    return torch.cat([net(*group) for group in apart(coordinates, features, group_size)])


def look(forward, net, coordinates, features, context=nullcontext):
    """Output, and the gradients of the features and of every parameter."""
    features = features.clone().requires_grad_()
    with context():
        output = forward(net, coordinates, features)
    weights = torch.linspace(-1, 1, output.numel(), device=output.device).view_as(output)
    (output * weights + 0.1 * output.square()).sum().backward()
    return output.detach(), features.grad, [parameter.grad for parameter in net.parameters()]


def both_ways(groups, training, device, dtype=torch.float64, context=nullcontext):
    """Results of one pass, and of a pass for each group, by nets that were the same before; and these nets."""
    torch.manual_seed(groups)
    one = SparseResNet18(CHANNELS).to(device, dtype).train(training)
    for buffer in one.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    many = copy.deepcopy(one)
    coordinates, features = shells(groups * CLOUDS, VOXELS, seed=groups)
    coordinates, features = coordinates.to(device), features.to(device, dtype)
    found = look(lambda net, *cloud: net(*cloud, group_size=CLOUDS), one, coordinates, features, context)
    expected = look(lambda net, *cloud: passes(net, *cloud, CLOUDS), many, coordinates, features, context)
    return found, expected, one, many


def differ(a, b):
    return ((a.double() - b.double()).norm() / b.double().norm().clamp(min=1e-30)).item()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("num_frames", [1, 2, 3])
@pytest.mark.parametrize("num_mix", [1, 2, 3, 4])
def test_one_pass_equals_a_pass_for_each_group(num_mix, num_frames, training, device, way):
    """In double precision: outputs, gradients, running statistics and their counter."""
    found, expected, one, many = both_ways(num_mix * num_frames, training, device)
    assert found[0].shape == (num_mix * num_frames * CLOUDS, CHANNELS)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-10, atol=1e-10)
    assert differ(found[1], expected[1]) < 1e-10
    for (name, parameter), gradient, other in zip(
        one.named_parameters(), *(x[2] for x in (found, expected)), strict=True
    ):
        assert parameter.requires_grad and differ(gradient, other) < 1e-10, name
    for (name, buffer), other in zip(one.named_buffers(), many.buffers(), strict=True):
        torch.testing.assert_close(buffer, other, rtol=1e-10, atol=1e-10, msg=name)
    assert one.features[1].bn.num_batches_tracked == (num_mix * num_frames if training else 0)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("groups", "amp"), [(2, None), (3, None), (6, None), (6, torch.bfloat16), (2, torch.float16)])
def test_one_pass_in_lower_precision(groups, amp, training, device, way):
    """Single precision and autocast: about as far from double precision as a pass for each group is."""
    exact = both_ways(groups, training, device)[1]
    context = (lambda: torch.autocast(device.type, amp)) if amp else nullcontext
    found, expected, one, many = both_ways(groups, training, device, torch.float32, context)
    for part in (0, 1):
        assert found[part].dtype == torch.float32
        assert differ(found[part], exact[part]) < 3 * differ(expected[part], exact[part]) + 5e-5
    for gradient, other, true in zip(found[2], expected[2], exact[2], strict=True):
        assert differ(gradient, true) < 3 * differ(other, true) + 1e-4
    for buffer, other in zip(one.buffers(), many.buffers(), strict=True):
        torch.testing.assert_close(buffer, other, rtol=0.05 if amp else 1e-4, atol=0.02 if amp else 1e-5)


def test_groups_together_are_other_numbers():
    """What the equality above rests on: with all clouds in one group the statistics are others."""
    net = SparseResNet18(CHANNELS).double()
    coordinates, features = shells(2 * CLOUDS, VOXELS)
    kept_apart, together = (net(coordinates, features.double(), group_size=size) for size in (CLOUDS, None))
    assert differ(together, kept_apart) > 1e-2


def test_rows_in_any_order(device):
    """Clouds and groups may lie mixed up; features of stride 1, whose rows stay in order, are normalised too."""
    coordinates, features = shells(4, 60)
    shuffled = torch.randperm(len(coordinates), generator=torch.Generator().manual_seed(0))
    norm = sparse.MinkowskiBatchNorm(3).to(device)
    x = sparse.SparseTensor(features[shuffled].to(device), coordinates[shuffled].to(device), group_size=2)
    y = norm(x).F[shuffled.argsort()]
    for group in (coordinates[:, 0] < 2, coordinates[:, 0] >= 2):
        torch.testing.assert_close(y[group].mean(0), torch.zeros(3, device=device), atol=1e-5, rtol=0)
        torch.testing.assert_close(y[group].var(0, correction=0), torch.ones(3, device=device), atol=1e-3, rtol=0)


def test_gradients_of_batch_norm():
    coordinates, _ = shells(6, 4)
    norm = sparse.MinkowskiBatchNorm(2).double()
    features = torch.randn(len(coordinates), 2, dtype=torch.float64, requires_grad=True)
    parameters = [parameter.detach().clone().uniform_(0.5, 2).requires_grad_() for parameter in norm.parameters()]

    def run(features, weight, bias):
        x = sparse.SparseTensor(features, coordinates, group_size=3)
        return torch.func.functional_call(norm, {"bn.weight": weight, "bn.bias": bias}, x).F

    assert torch.autograd.gradcheck(run, (features, *parameters))


@pytest.mark.parametrize("group_size", [1, None])
def test_a_group_of_a_single_voxel(group_size):
    """Whose variance is not defined: one error, whether the group is alone or not."""
    coordinates = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 0], [1, 5, 5, 5]])[: 3 if group_size else 1]
    x = sparse.SparseTensor(torch.ones(len(coordinates), 3), coordinates, group_size=group_size)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
        sparse.MinkowskiBatchNorm(3)(x)
    assert sparse.MinkowskiBatchNorm(3).eval()(x).F.shape == x.F.shape


def test_groups_of_unequal_size_are_refused():
    with pytest.raises(ValueError, match="3 clouds makes no groups of 2"):
        sparse.SparseTensor(torch.ones(3, 1), torch.tensor([[0, 0, 0, 0], [1, 1, 0, 0], [2, 5, 5, 5]]), group_size=2)


def test_training_with_frames_follows_the_reference():
    """Two steps with 2 sources of 3 frames, average pooling, depth: losses and weights as in the reference's loop."""
    found = []
    for is_loop in (False, True):
        torch.manual_seed(0)
        builder = ModelBuilder()
        vision = builder.build_vision("sparseresnet18", CHANNELS)
        nets = builder.build_sound("unet5", CHANNELS, ngf=2), vision, builder.build_synthesizer("linear", CHANNELS)
        model = SeparationNet(*nets, num_frames=3, frame_pool="avgpool")
        if is_loop:
            model.look = partial(looked_at_in_turn, model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        sources, clouds, losses = waves(1, 2, 2, 8191), voxels(1, 2, 3, 2, "xyz"), []
        for _ in range(3):
            optimizer.zero_grad()
            loss = model(sources.sum(dim=0), clouds, sources).loss
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        found.append((losses, vision.fc.kernel.detach(), vision.features[1].bn.running_var))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4) and found[0][0][2] < found[0][0][0]
    for weights, expected in zip(found[0][1:], found[1][1:], strict=True):
        assert differ(weights, expected) < 1e-4


def looked_at_in_turn(model, clouds, num_mixtures):
    """The vision net run for each source and frame on the clouds of the batch, then pooled over the frames."""
    passes = [model.vision(*group) for group in apart(*clouds, num_mixtures)]
    sources = [passes[start : start + 3] for start in range(0, len(passes), 3)]
    return torch.stack([torch.sigmoid(torch.stack(frames).mean(dim=0)) for frames in sources])


@pytest.mark.skipif(import_minkowski() is None, reason="MinkowskiEngine is not installed")
def test_minkowski_engine_looks_at_groups_too():
    torch.manual_seed(0)
    ours, theirs = SparseResNet18(CHANNELS).double(), SparseResNet18(CHANNELS, import_minkowski()).double()
    theirs.load_state_dict(ours.state_dict())
    coordinates, features = shells(6, VOXELS)
    results = [
        look(lambda net, *cloud: net(*cloud, group_size=2), net, coordinates, features.double())
        for net in (ours, theirs)
    ]
    torch.testing.assert_close(*(result[0] for result in results), rtol=1e-8, atol=1e-8)
    for found, expected in zip(results[0][2], results[1][2], strict=True):
        assert differ(found, expected) < 1e-7
    for buffer, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(buffer, other, rtol=1e-8, atol=1e-8)
