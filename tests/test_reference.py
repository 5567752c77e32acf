"""Every number of the reference implementation: keys and shapes, masks, features, losses, scores, training steps."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from reference import VECTORS, load_case

from models import ModelBuilder
from models.backend import choose_engine, import_minkowski, supports
from models.minkowski_net import SparseResNet18Classifier
from utils.metrics import score
from utils.optimizer import build_optimizer
from utils.precision import computing

CASES = ["separator_2mix_rgb", "separator_3mix_depth_ratio_unet5"]
NETS = {
    **{f"sound_unet{n}_channels16": lambda n=n: ModelBuilder().build_sound(f"unet{n}", 16) for n in (5, 6, 7)},
    "vision_sparseresnet18_channels16": lambda: ModelBuilder().build_vision("sparseresnet18", 16),
    "synthesizer_linear_channels16": lambda: ModelBuilder().build_synthesizer("linear", 16),
    "synthesizer_bias": lambda: ModelBuilder().build_synthesizer("bias", 16),
    "modelnet40_resnet18 (under the key state_dict)": SparseResNet18Classifier,
}


@pytest.mark.parametrize("name", NETS)
def test_state_dict_keys(name):
    expected = json.loads((VECTORS / "state_dict_keys.json").read_text())[name]
    found = {key: list(value.shape) for key, value in NETS[name]().state_dict().items()}
    assert found == expected


def test_every_listed_net_is_checked():
    assert set(json.loads((VECTORS / "state_dict_keys.json").read_text())) == set(NETS)


def close(found, expected, relative=1e-4):
    expected = np.asarray(expected, dtype=np.float64)
    found = torch.as_tensor(found).detach().cpu().double().numpy().reshape(expected.shape)
    np.testing.assert_allclose(found, expected, rtol=relative, atol=relative * np.abs(expected).max())


@pytest.fixture(params=["builtin", "minkowski"])
def engine(request, device):
    minkowski = import_minkowski()
    if request.param == "minkowski" and not (minkowski and supports(minkowski, device)):
        pytest.skip(f"MinkowskiEngine is not installed for {device}")
    with computing("eval"):
        yield choose_engine(request.param, device)


@pytest.mark.parametrize("name", CASES)
def test_evaluation(name, engine, device):
    case = load_case(name, engine, device)
    model, numbers = case.model.eval(), case.numbers
    with torch.no_grad():
        result = model(case.mixture, case.clouds, case.sources)
        close(result.loss, numbers["eval_loss"])
        close(result.masks[..., ::8, ::8], numbers["eval_pred_masks"])
        close(result.targets.flatten(1).mean(dim=1), numbers["eval_gt_masks_mean"])
        close(result.magnitude[..., ::8, ::8], numbers["eval_mag_mix_warped"])
        close(result.weight.mean(), numbers["eval_weight_mean"])
        close(result.sound_features[..., ::32, ::32], numbers["sound_features"])
        batch = len(case.mixture)
        close(model.vision(*case.clouds, group_size=batch)[:batch], numbers["vision_source0_per_frame"])
        for masks, key in ((result.masks, "metrics_"), (result.targets, "oracle_metrics_")):
            estimates = model.apply_masks(result.spectrum, masks)
            length = estimates.shape[-1]
            scores = score(case.sources[..., :length], estimates, case.mixture[..., :length])
            means = [np.mean([s[m] for s in scores]) for m in ("sdr_mixture", "sdr", "sir", "sar")]
            close(means, numbers[key + "sdrmix_sdr_sir_sar"])


@pytest.mark.parametrize("name", CASES)
def test_training_steps(name, engine, device):
    case = load_case(name, engine, device)
    model, numbers = case.model.train(), case.numbers
    rates = {"lr_sound": 1e-3, "lr_synthesizer": 1e-3, "lr_vision": 1e-4}
    optimizer = build_optimizer(model, "sgd", **rates, beta1=0.9, weight_decay=1e-4)
    losses = []
    for _ in numbers["train_losses"]:
        optimizer.zero_grad()
        loss = model(case.mixture, case.clouds, case.sources).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    close(losses, numbers["train_losses"])
    close(model.synthesizer.scale.detach(), numbers["synthesizer_scale_after"])
    close(model.vision.fc.kernel.detach().sum(), numbers["vision_fc_kernel_sum_after"])
    close(model.vision.features[0].kernel.detach().abs().sum(), numbers["vision_conv1_abs_sum_after"])
