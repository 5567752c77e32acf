"""What a step of training costs in memory and precision changes nothing, or little, in what is learnt."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
from conftest import ROOT, training_mixtures
from processes import LABEL, SMALL, losses_of, main, run_of
from test_main import python

import models
from arguments import parse_arguments
from dataset.collate import collate
from dataset.index import read_index
from from_options import build_model
from models import CHANNELS_LAST
from models.audio_net import Unet
from runs.state import RunKeeper, RunState
from training import Trainer, groups, happens
from utils.errors import InputError


def options_of(*arguments, device="cpu"):
    return parse_arguments(
        [*SMALL, "--instruments", "cello", "saxophone", "violin", *LABEL, "--device", device, *arguments]
    )


@pytest.fixture
def samples(tree):
    options = options_of()
    data = training_mixtures(read_index("list.csv"), options)
    return [data[1, index] for index in range(6)]


def trainer_of(device, *arguments):
    options = options_of(*arguments, device=device.type)
    torch.manual_seed(0)
    return Trainer(build_model(options, device=device), options)


def gradients(trainer):
    return {name: parameter.grad for name, parameter in trainer.model.named_parameters()}


def doubled(batch):
    """A batch in double precision."""
    return batch._with_tensors(lambda tensors: tuple(t.double() if t.is_floating_point() else t for t in tensors))


def differ(one, two):
    """The largest difference of two sets of gradients, relative to the largest gradient of each parameter."""
    return max(((two[name] - value).abs().max() / value.abs().max()).item() for name, value in one.items())


def test_accumulated_batches_are_one_batch(samples, device):
    """Of unequal sizes too; in evaluation mode, where no batch norm ties a batch together."""
    parts = [[samples[:4], samples[4:]], [samples[:1], samples[1:3], samples[3:]], [samples]]
    found = []
    for part in parts:
        trainer = trainer_of(device)
        trainer.model.double().eval()
        loss, count = trainer.compute_gradients([doubled(collate(batch)) for batch in part])
        assert count == 6
        found.append((loss.item(), gradients(trainer)))
    for loss, grads in found[:-1]:
        assert loss == pytest.approx(found[-1][0], rel=1e-12) and differ(grads, found[-1][1]) < 1e-9


def test_groups():
    assert list(groups(iter(range(7)), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert [number for number in range(3, 13, 3) if happens(5, number, 3)] == [6, 12]
    assert [number for number in range(1, 9) if happens(4, number, 1)] == [4, 8]


def test_a_run_that_accumulates(tree):
    """Twelve mixtures make two steps of two batches of three; resuming between steps ends the same."""
    options = [*LABEL, "--batch_size_per_gpu", "3", "--accumulate", "2", "--num_val", "2", "--num_epoch", "2"]
    options += ["--eval_epoch", "2"]
    result = main(tree, *options, "--ckpt", "whole")
    assert result.returncode == 0, result.stderr
    whole = run_of(tree, "whole")
    assert len(losses_of(whole)) == 4
    assert main(tree, *options, "--ckpt", "parts", "--num_epoch", "1").returncode == 0
    assert main(tree, *options, "--ckpt", "parts", "--resume", "1").returncode == 0
    weights = [torch.load(run / "sound_latest.pth", weights_only=True) for run in (whole, run_of(tree, "parts"))]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_half_precision_of_the_sound_net(samples, device, amp):
    """Loss and masks are float32 and close to those of single precision; evaluation is single precision."""
    batch = collate(samples)
    trainers = [trainer_of(device), trainer_of(device, "--amp", amp)]
    losses = []
    for trainer in trainers:
        trainer.model.train()
        losses.append(trainer.compute_gradients([batch])[0].item())
    assert losses[1] == pytest.approx(losses[0], rel=5e-3) and losses[1] != losses[0]
    on_device = batch.to(device)
    with torch.no_grad():
        half = trainers[1].model(on_device.mixture, on_device.clouds, on_device.sources)
        assert half.masks.dtype == half.loss.dtype == half.sound_features.dtype == torch.float32
        for trainer in trainers:
            trainer.model.load_state_dict(trainers[0].model.state_dict())
        masks = [trainer.model.eval()(on_device.mixture, on_device.clouds).masks for trainer in trainers]
    torch.testing.assert_close(masks[1], masks[0], rtol=1e-4, atol=1e-6)
    scale = 1.0 if amp == "bf16" else trainers[1].scaler.get_scale()
    assert (trainers[1].scaler is None) == (amp == "bf16") and (amp == "bf16" or scale > 1)
    half_gradient = gradients(trainers[1])["synthesizer.scale"] / scale
    torch.testing.assert_close(half_gradient, gradients(trainers[0])["synthesizer.scale"], rtol=0.1, atol=1e-3)
    trainers[1].step()


SMALL_IMAGES = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from arguments import parse_arguments
from from_options import build_model

options = parse_arguments(["--amp", "bf16", "--arch_vision", "label", "--instruments", "cello", "--ngf", "1"])
build_model(options)
layer = torch.nn.Conv2d(128, 128, 4, stride=2, padding=1).bfloat16()
x = torch.randn(16, 128, 8, 2).bfloat16()
with torch.no_grad():
    for _ in range(50):
        rubbish = torch.full((10**6,), torch.nan)
        del rubbish
        assert layer(x).isfinite().all()
"""


def test_small_images_in_half_precision(monkeypatch):
    """On a processor with AMX oneDNN's convolution of them gives NaN, unless the net's building leaves AMX out."""
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    result = python(ROOT, "-c", SMALL_IMAGES, ROOT)
    assert result.returncode == 0, result.stderr


def test_the_scaler_goes_on(tmp_path, samples):
    """What fp16 has learnt of the gradients' range is saved with the run."""
    device = torch.device("cpu")
    keepers = []
    for _ in range(2):
        trainer = trainer_of(device, "--amp", "fp16")
        nets = {"sound": trainer.model.sound}
        keepers.append(RunKeeper(tmp_path, {}, RunState(), nets, trainer.optimizer, trainer.scaler))
        trainer.model.train()
        trainer.compute_gradients([collate(samples)])
        trainer.step()
    first, second = keepers
    first.scaler.update(new_scale=77.0)
    content = first.save_last()
    second.restore(content)
    assert second.scaler.get_scale() == 77.0


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_first_step_that_overflows(samples, optimizer):
    """It is left out, and the next one is right."""
    trainer = trainer_of(torch.device("cpu"), "--amp", "fp16", "--optimizer", optimizer)
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    rubbish = [torch.full_like(parameter, torch.nan) for parameter in trainer.model.parameters()]
    del rubbish
    trainer.model.train()
    trainer.scaler.load_state_dict({**trainer.scaler.state_dict(), "scale": 1e30})
    trainer.compute_gradients([collate(samples)])
    trainer.step()
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.named_parameters())
    trainer.scaler.update(new_scale=1024.0)
    trainer.compute_gradients([collate(samples)])
    trainer.step()
    assert all(value.isfinite().all() for value in trainer.model.parameters())
    assert not torch.equal(trainer.model.synthesizer.scale, before["synthesizer.scale"])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_another_layout_goes_on(tmp_path, samples, optimizer):
    """What the optimiser remembers is laid out as the weights are."""
    device, found = torch.device("cpu"), []
    for choices in (("yes", "yes"), ("yes", "no")):
        keepers = []
        for choice in choices:
            trainer = trainer_of(device, "--channels_last", choice, "--optimizer", optimizer, "--lr_sound", "0.1")
            trainer.model.eval()
            nets = {"sound": trainer.model.sound, "synthesizer": trainer.model.synthesizer}
            keepers.append(RunKeeper(tmp_path, {}, RunState(), nets, trainer.optimizer))
            if len(keepers) == 2:
                keepers[1].restore(keepers[0].save_last())
            for _ in range(2):
                trainer.compute_gradients([collate(samples)])
                trainer.step()
        found.append(trainer.model.sound.state_dict())
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-3, atol=1e-5, msg=name)


def test_levels_computed_again(device):
    """The same outputs, gradients and running means, from fewer tensors that are kept."""
    torch.manual_seed(0)
    plain = Unet(4, num_downs=5, ngf=8).to(device)
    again = copy.deepcopy(plain)
    again.recompute()
    kept = []
    for net in (plain, again):
        sizes = {}

        def keep(tensor, sizes=sizes):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        for _ in range(2):
            x = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(1)).to(device)
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                y = net(x)
            y.square().mean().backward()
        kept.append(sum(sizes.values()))
    for one, two in zip(plain.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(two.grad, one.grad)
    for (name, one), two in zip(plain.named_buffers(), again.buffers(), strict=True):
        torch.testing.assert_close(two, one, msg=name)
    assert kept[1] < 0.6 * kept[0]


def test_channels_last(samples, device):
    """Where it is chosen, and that it changes nothing but the layout."""
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    auto = CHANNELS_LAST[options_of().channels_last]
    assert auto(cpu, options_of()) and auto(cuda, options_of("--amp", "bf16"))
    assert auto(cuda, options_of()) and not auto(cuda, options_of("--tf32", "no"))
    found = []
    for choice in ("yes", "no"):
        trainer = trainer_of(device, "--channels_last", choice)
        weight = next(p for p in trainer.model.sound.parameters() if p.ndim == 4 and p.shape[1] > 1)
        assert weight.is_contiguous(memory_format=torch.channels_last) == (choice == "yes")
        trainer.model.train()
        found.append((trainer.compute_gradients([collate(samples)])[0].item(), gradients(trainer)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6) and differ(found[0][1], found[1][1]) < 1e-3


@pytest.mark.skipif(not any(map(shutil.which, ("g++", "c++"))), reason="torch.compile needs a C++ compiler")
def test_a_compiled_sound_net(samples, device):
    found = []
    for choice in ("0", "1"):
        trainer = trainer_of(device, "--compile", choice, "--ngf", "2")
        trainer.model.train()
        assert (trainer.model.sound._compiled_call_impl is None) == (choice == "0")
        found.append((trainer.compute_gradients([collate(samples)])[0].item(), gradients(trainer)))
    assert list(trainer.model.state_dict()) == list(trainer_of(device, "--ngf", "2").model.state_dict())
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-5) and differ(found[0][1], found[1][1]) < 1e-3


def test_compiled_or_computed_again():
    with pytest.raises(InputError, match="--compile 1 and --grad_checkpoint 1"):
        options_of("--compile", "1", "--grad_checkpoint", "1")


def test_nothing_that_compiles(monkeypatch):
    def broken(function):
        raise RuntimeError("no working C++ compiler\nand much more")

    monkeypatch.setattr(models.torch, "compile", broken)
    with pytest.raises(
        InputError, match=r"^--compile 1: torch.compile does not work here \(no working C\+\+ compiler\)$"
    ):
        build_model(options_of("--compile", "1"))
