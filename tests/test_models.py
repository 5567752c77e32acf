"""Nets by name: sizes, initial values, losses, fusion, weights from files."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch

from models import CRITERIA, ModelBuilder, SeparationNet, start_from_classifier
from models.backend import shells
from models.minkowski_net import SparseResNet18Classifier
from utils import checkpoint
from utils.errors import InputError
from utils.sync_batch_norm import SyncBatchNorm


@pytest.mark.parametrize(("arch", "frames"), [("unet5", 32), ("unet6", 64), ("unet7", 128)])
def test_unet_sizes(arch, frames):
    net = ModelBuilder().build_sound(arch, fc_dim=3, ngf=2)
    assert net(torch.randn(2, 1, 256, frames)).shape == (2, 3, 256, frames)


def test_initial_values():
    sound = ModelBuilder().build_sound("unet5", 8, ngf=32)
    weights = torch.cat([p.flatten() for n, p in sound.named_parameters() if p.ndim == 4])
    assert abs(weights.std() - 0.001) < 2e-5
    vision = ModelBuilder().build_vision("sparseresnet18", 16)
    kernel = vision.features[7][1].conv2.kernel
    assert kernel.std().item() == pytest.approx(math.sqrt(2 / (512 * 27)), rel=0.01)
    bound = 1 / math.sqrt(512 * 27)
    assert 0.95 * bound < vision.fc.kernel.abs().max() <= bound


def test_fusion_by_hand():
    vision, sound = torch.tensor([[1.0, 2.0]]), torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)
    linear, bias = ModelBuilder().build_synthesizer("linear", 2), ModelBuilder().build_synthesizer("bias", 2)
    linear.load_state_dict({"scale": torch.tensor([10.0, 1.0]), "bias": torch.tensor([0.5])})
    bias.load_state_dict({"bias": torch.tensor([0.5])})
    assert linear(vision, sound).item() == 10 * 3 + 8 + 0.5
    assert bias(vision, sound).item() == 3 + 8 + 0.5


@pytest.mark.parametrize(("arch", "expected"), [("bce", -math.log(0.75)), ("l1", 0.25), ("l2", 0.0625)])
def test_losses_by_hand(arch, expected):
    prediction, target = torch.tensor([0.75, 0.1]).reshape(1, 1, 2, 1), torch.tensor([1.0, 0.9]).reshape(1, 1, 2, 1)
    weight = torch.tensor([2.0, 0.0]).reshape(1, 1, 2, 1)
    assert ModelBuilder().build_criterion(arch)(prediction, target, weight).item() == pytest.approx(expected)
    assert arch in CRITERIA


@pytest.mark.parametrize(
    ("build", "known"),
    [
        (lambda b: b.build_sound("unet9"), "unet5, unet6, unet7"),
        (lambda b: b.build_vision("pointnet"), "sparseresnet18"),
        (lambda b: b.build_synthesizer("attention"), "linear, bias"),
        (lambda b: b.build_criterion("hinge"), "bce, l1, l2"),
    ],
)
def test_unknown_names_list_the_known(build, known):
    with pytest.raises(InputError, match=known):
        build(ModelBuilder())


def separation_net(vision):
    builder = ModelBuilder()
    return SeparationNet(
        builder.build_sound("unet5", 4, ngf=2), vision, builder.build_synthesizer("linear", 4), num_frames=2
    )


COPIED = {
    "sound": lambda: ModelBuilder().build_sound("unet5", 4, ngf=2),
    "label": lambda: ModelBuilder().build_vision("label", 4, num_labels=3),
    "linear": lambda: ModelBuilder().build_synthesizer("linear", 4),
    "bias": lambda: ModelBuilder().build_synthesizer("bias", 4),
    "whole, labels": lambda: separation_net(ModelBuilder().build_vision("label", 4, num_labels=3)),
    "vision": lambda: ModelBuilder().build_vision("sparseresnet18", 4),
    "synchronised": lambda: SyncBatchNorm.convert_sync_batchnorm(COPIED["vision"]()),
    "classifier": lambda: SparseResNet18Classifier(3),
    "whole": lambda: separation_net(COPIED["vision"]()),
}


@pytest.mark.parametrize("name", COPIED)
def test_nets_are_copied_pickled_and_averaged(name):
    """With the built-in engine: MinkowskiEngine's own layers hold what cannot be."""
    net = COPIED[name]().eval()
    averaged = torch.optim.swa_utils.AveragedModel(net)
    averaged.update_parameters(net)
    copies = [copy.deepcopy(net), pickle.loads(pickle.dumps(net)), averaged.module]
    for again in copies:
        assert type(again) is type(net) and again.state_dict().keys() == net.state_dict().keys()
        assert all(map(torch.equal, again.state_dict().values(), net.state_dict().values()))
    if hasattr(net, "sparse_tensor"):
        expected, *found = (one(*shells(2, 60)) for one in (net, *copies))
        for output in found:
            torch.testing.assert_close(output, expected)


def test_weights_come_back_from_a_file(tmp_path):
    net = ModelBuilder().build_sound("unet5", 4, ngf=2)
    checkpoint.save(net.state_dict(), tmp_path / "sound.pth")
    again = ModelBuilder().build_sound("unet5", 4, str(tmp_path / "sound.pth"), ngf=2)
    x = torch.randn(1, 1, 256, 32)
    assert torch.equal(net.eval()(x), again.eval()(x))


def test_vision_starts_from_a_classifier(tmp_path):
    classifier = SparseResNet18Classifier(num_classes=7)
    path = tmp_path / "classifier.pth"
    checkpoint.save({"state_dict": classifier.state_dict(), "epoch": 3}, path)
    vision = ModelBuilder().build_vision("sparseresnet18", 16)
    head = vision.fc.kernel.detach().clone()
    start_from_classifier(vision, path)
    assert torch.equal(vision.features[0].kernel, classifier.conv1.kernel)
    assert torch.equal(vision.features[7][1].norm2.bn.running_var, classifier.layer4[1].norm2.bn.running_var)
    assert torch.equal(vision.fc.kernel, head)


@pytest.mark.parametrize("content", [{"weights": {}}, {"state_dict": {"conv1.kernel": torch.zeros(3)}}])
def test_a_file_that_is_no_classifier(tmp_path, content):
    path = tmp_path / "classifier.pth"
    checkpoint.save(content, path)
    with pytest.raises(InputError, match="classifier.pth"):
        start_from_classifier(ModelBuilder().build_vision("sparseresnet18", 16), path)
