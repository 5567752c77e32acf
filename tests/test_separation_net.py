"""The whole forward in every form it can take, on a small model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models import ModelBuilder, SeparationNet
from models.criterion import CRITERIA
from models.separation_net import ACTIVATIONS, FRAME_POOLS, activate

LENGTH = 256 * 32 - 1  # 32 spectrogram frames
CHANNELS = 5


class CloudMean(nn.Module):
    """Stands in for the vision net: the mean feature of each cloud, spread over the channels."""

    def forward(self, coordinates, features, group_size=None):
        clouds = int(coordinates[:, 0].max()) + 1
        rows = coordinates[:, 0].long()[:, None].expand(-1, features.shape[1])
        sums = features.new_zeros(clouds, features.shape[1]).scatter_add(0, rows, features)
        means = sums / torch.bincount(coordinates[:, 0])[:, None]
        return means.repeat(1, 2)[:, :CHANNELS]


def build(vision=None, **options):
    torch.manual_seed(0)
    builder = ModelBuilder()
    return SeparationNet(
        builder.build_sound("unet5", CHANNELS, ngf=4),
        vision or CloudMean(),
        builder.build_synthesizer("linear", CHANNELS),
        **options,
    )


def inputs(num_mix=2, batch=2, frames=1, voxels=30):
    generator = torch.Generator().manual_seed(1)
    sources = 0.1 * torch.randn(num_mix, batch, LENGTH, generator=generator)
    clouds = num_mix * frames * batch
    coordinates = torch.randint(-9, 9, (clouds * voxels, 4), generator=generator, dtype=torch.int32)
    coordinates[:, 0] = torch.arange(clouds).repeat_interleave(voxels)
    return sources.sum(0), (coordinates, torch.rand(len(coordinates), 3, generator=generator)), sources


@pytest.mark.parametrize("num_mix", [2, 3, 4])
@pytest.mark.parametrize("log_freq", [True, False])
def test_shapes(num_mix, log_freq, device):
    model = build(log_freq=log_freq).to(device)
    mixture, clouds, sources = inputs(num_mix)
    clouds = tuple(part.to(device) for part in clouds)
    result = model(mixture.to(device), clouds, sources.to(device))
    bins = 256 if log_freq else 512
    assert result.masks.shape == result.targets.shape == (num_mix, 2, 1, bins, 32)
    assert result.magnitude.shape == result.weight.shape == (2, 1, bins, 32)
    assert result.vision_features.shape == (num_mix, 2, CHANNELS)
    assert result.sound_features.shape == (2, CHANNELS, bins, 32)
    assert model.apply_masks(result.spectrum, result.masks).shape == (num_mix, 2, 256 * 31)
    result.loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_batch_of_one_keeps_its_dimensions():
    model = build().eval()
    mixture, clouds, sources = inputs(batch=1)
    result = model(mixture, clouds, sources)
    assert result.masks.shape == (2, 1, 1, 256, 32)
    assert model.apply_masks(result.spectrum, result.masks).shape == (2, 1, 256 * 31)


def test_a_mixture_alone_gives_masks_without_a_loss():
    mixture, clouds, _ = inputs()
    result = build()(mixture, clouds)
    assert result.loss is None and result.targets is None and result.masks.shape[0] == 2


def test_inputs_stay_as_they_were():
    mixture, clouds, sources = inputs()
    inputs_of_it = (mixture, *clouds, sources)
    copies = [tensor.clone() for tensor in inputs_of_it]
    build()(mixture, clouds, sources)
    assert all(map(torch.equal, inputs_of_it, copies))


@pytest.mark.parametrize(("pool", "reduce"), [("maxpool", lambda x: x.amax(1)), ("avgpool", lambda x: x.mean(1))])
def test_frames_are_pooled_before_the_activation(pool, reduce):
    model = build(num_frames=3, frame_pool=pool)
    _, clouds, _ = inputs(frames=3)
    single = model.vision(*clouds).unflatten(0, (2, 3, 2))  # [N, K, B, C]
    torch.testing.assert_close(model.look(clouds, 2), torch.sigmoid(reduce(single)))
    assert set(FRAME_POOLS) == {"maxpool", "avgpool"}


@pytest.mark.parametrize(
    ("empty", "message"),
    [
        ([1], r"clouds without voxels in the batch: numbers \[1\]"),
        ([7], "7 clouds makes no groups of 2"),
        ([6, 7], r"6 clouds are no whole number of sources with 2 frame\(s\) of 2 mixture\(s\) each"),
        ([4, 5, 6, 7], "clouds of 1 sources, but waveforms of 2"),
    ],
)
def test_clouds_without_voxels_are_noticed(empty, message):
    """In the middle of the batch the engine sees it, at its end only the model can."""
    model = build(vision=ModelBuilder().build_vision("sparseresnet18", CHANNELS), num_frames=2)
    mixture, clouds, sources = inputs(frames=2)
    left = ~torch.isin(clouds[0][:, 0], torch.tensor(empty))
    with pytest.raises(ValueError, match=message):
        model(mixture, tuple(part[left] for part in clouds), sources)


def test_every_cloud_goes_with_its_own_mixture():
    """Exchanging two items of a batch exchanges the results and nothing else (a real vision net, evaluation)."""
    model = build(ModelBuilder().build_vision("sparseresnet18", CHANNELS)).eval()
    mixture, clouds, _ = inputs()
    swapped = torch.cat([clouds[0][:, :1] ^ 1, clouds[0][:, 1:]], dim=1), clouds[1]
    with torch.no_grad():
        first, second = model(mixture, clouds), model(mixture.flip(0), swapped)
    torch.testing.assert_close(first.masks.flip(1), second.masks)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    x = torch.tensor([[-2.0, 0.0], [3.0, 1.0]])
    expected = {
        "sigmoid": 1 / (1 + torch.exp(-x)),
        "softmax": torch.exp(x) / torch.exp(x).sum(0),
        "relu": x.clamp(min=0),
        "tanh": torch.tanh(x),
        "no": x,
    }
    torch.testing.assert_close(activate(x, name, dim=0), expected[name])


def test_softmax_masks_share_out_the_mixture():
    mixture, clouds, sources = inputs(3)
    masks = build(output_activation="softmax")(mixture, clouds, sources).masks
    torch.testing.assert_close(masks.sum(0), torch.ones_like(masks[0]))


@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_ratio_masks(loss):
    mixture, clouds, sources = inputs()
    result = build(binary_mask=False, criterion=CRITERIA[loss])(mixture, clouds, sources)
    assert result.targets.min() >= 0 and 1 < result.targets.max() <= 5
    assert result.loss > 0


def test_true_masks_separate_disjoint_tones():
    """Two tones far apart: the target masks must give the sources back, at their own level and place."""
    t = torch.arange(LENGTH) / 11025
    sources = torch.stack([0.4 * torch.sin(2 * torch.pi * f * t) for f in (300.0, 2000.0)])[:, None]
    for options in ({}, {"log_freq": False}, {"binary_mask": False, "criterion": CRITERIA["l1"]}):
        model = build(**options)
        result = model(sources.sum(0), inputs(batch=1)[1], sources)
        estimates = model.apply_masks(result.spectrum, result.targets)
        inner = slice(1024, estimates.shape[-1] - 1024)
        error = (estimates - sources[..., : estimates.shape[-1]])[..., inner].square().mean()
        assert 10 * torch.log10(sources[..., inner].square().mean() / error) > 20
