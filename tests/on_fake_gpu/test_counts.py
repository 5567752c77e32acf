"""How often the host waits for a GPU and how many kernels it launches, exactly. Run by tests/test_fake_gpu.py."""

from __future__ import annotations

import sys

import pytest

if "fake_gpu.device" not in sys.modules:
    pytest.skip("needs the make-believe GPU: -p fake_gpu.plugin", allow_module_level=True)

import torch
from conftest import training_mixtures
from fake_gpu.device import LEDGER, unwrapped

from arguments import parse_arguments
from dataset.collate import collate
from dataset.index import read_index
from evaluation import evaluate
from models import build_separation_net
from models.backend import shells
from models.minkowski_net import SparseResNet18
from runs.state import RunKeeper, RunState
from training import Trainer
from utils import checkpoint

GPU = torch.device("cuda")
SIZES = [
    *("--id", "counts", "--arch_sound", "unet5", "--ngf", "4", "--num_channels", "4", "--audLen", "8191"),
    *("--voxel_size", "0.05", "--batch_size_per_gpu", "3", "--device", "cuda", "--mask_thres", "0.1"),
]


def options_of(*arguments):
    return parse_arguments([*SIZES, *arguments])


@pytest.fixture
def batches(tree):
    """Two batches of three mixtures, page-locked, as a loader gives them."""
    data = training_mixtures(read_index("list.csv"), options_of())
    data.with_absent = True
    return [collate([data[1, index] for index in range(first, first + 3)]).pin_memory() for first in (0, 3)]


def trainer_of(*arguments):
    options = options_of(*arguments)
    torch.manual_seed(0)
    trainer = Trainer(build_separation_net(options, device=GPU), options)
    trainer.model.train()
    return trainer


def an_iteration(trainer, batch):
    trainer.compute_gradients([batch])[0]
    trainer.step()


@pytest.mark.parametrize(("options", "waits"), [((), 2), (("--amp", "bf16"), 2), (("--optimizer", "adam"), 2)])
def test_waits_of_a_training_iteration(batches, options, waits):
    """For the number of voxels: of the clouds, and at all strides. The loss is read when it is there already."""
    trainer = trainer_of(*options)
    an_iteration(trainer, batches[0])
    LEDGER.clear()
    an_iteration(trainer, batches[1])
    assert LEDGER.num_waits == waits, LEDGER.report()


# Of floating-point numbers they add up in another order every time.
ATOMIC = {
    *("index_add", "index_add_", "index_put", "index_put_", "scatter_add", "scatter_add_", "scatter_reduce"),
    *("upsample_bilinear2d_backward", "grid_sampler_2d_backward", "embedding_dense_backward"),
}


def test_a_training_iteration_adds_nothing_with_atomics(batches):
    """But for the gradient of the global maximum, which goes to one place each, and least and largest coordinates."""
    trainer = trainer_of("--deterministic", "1")
    LEDGER.clear()
    an_iteration(trainer, batches[0])
    found = {o.name for o in LEDGER.operations if o.name in ATOMIC and "float" in o.dtype}
    assert found <= {"scatter_add", "scatter_reduce"} and len(LEDGER.operations) > 1000


@pytest.mark.parametrize("sources", [2, 3])
def test_launches_of_the_vision_net(sources):
    """Forward and backward: as many for three sources as for two."""
    net = SparseResNet18(16).to(GPU)
    coordinates, features = (part.pin_memory() for part in shells(sources * 2, 500))
    for _ in range(2):  # the first fills what is kept
        net.zero_grad(set_to_none=True)
        LEDGER.clear()
        seen = net(coordinates.to(GPU, non_blocking=True), features.to(GPU, non_blocking=True), group_size=2)
        seen.square().sum().backward()
    assert LEDGER.num_waits == 2
    assert LEDGER.num_launches == 1183, LEDGER.report()


def test_launches_of_the_vision_net_with_triton(monkeypatch):
    """As above; Triton's interpreter runs the kernels on what the make-believe GPU holds."""
    pytest.importorskip("triton", reason="Triton is not installed")
    from models import sparse_triton

    def launched(kernel, grid, *arguments, **constants):
        inner = [unwrapped(argument) for argument in arguments]
        kernel[grid](*inner, **constants)
        LEDGER.launch(kernel.__name__, [], (), None)

    for part in ("kernel_maps", "convolution", "normalisation"):
        monkeypatch.setattr(f"models.sparse_triton.{part}.launch", launched)
    monkeypatch.setattr("models.minkowski_net.STAGE_CHANNELS", (4, 4, 4, 4))
    net = SparseResNet18(4, sparse_triton).to(GPU)
    coordinates, features = (part.pin_memory() for part in shells(4, 40))
    for _ in range(2):
        net.zero_grad(set_to_none=True)
        LEDGER.clear()
        seen = net(coordinates.to(GPU, non_blocking=True), features.to(GPU, non_blocking=True), group_size=2)
        seen.square().sum().backward()
    assert LEDGER.num_waits == 2
    assert LEDGER.num_launches == 407, LEDGER.report()


def test_waits_of_saving(batches, tmp_path):
    trainer = trainer_of()
    an_iteration(trainer, batches[0])
    nets = {net: getattr(trainer.model, net) for net in ("sound", "vision", "synthesizer")}
    keeper = RunKeeper(tmp_path, {}, RunState(), nets, trainer.optimizer, None)
    LEDGER.clear()
    keeper.save_last()
    assert LEDGER.num_waits == 1, LEDGER.report()


def test_files_can_be_read_without_a_gpu(batches, tmp_path):
    trainer = trainer_of()
    checkpoint.save(trainer.model.state_dict(), tmp_path / "net.pth")
    content = torch.load(tmp_path / "net.pth", weights_only=True)
    assert all(type(value) is torch.Tensor and value.device.type == "cpu" for value in content.values())


@pytest.mark.parametrize(("report", "waits"), [("0", 5), ("1", 8)])
def test_waits_of_an_evaluation_batch(batches, tmp_path, report, waits, monkeypatch):
    """However many mixtures the batch has, and with those that are drawn."""
    options = options_of("--num_vis", "6", "--conditioning_report", report)
    monkeypatch.setattr("evaluation.write_separation", lambda folder, one: None)
    monkeypatch.setattr("evaluation.class_means", lambda model, options: {"cello": torch.zeros(4)})
    model = build_separation_net(options, device=GPU)
    counts = []
    for loader in (Batches(batches[:1]), Batches(batches[:1]), Batches(batches)):  # the first fills what is kept
        LEDGER.clear()
        evaluate(model, loader, tmp_path, options)
        counts.append(LEDGER.num_waits)
    assert counts[2] - counts[1] == waits, LEDGER.report()


class Batches(list):
    """What an evaluation asks of a loader."""

    left_out = ()
