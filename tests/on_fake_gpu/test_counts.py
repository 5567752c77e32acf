"""How often the host waits for a GPU and how many kernels it launches, exactly. Run by tests/test_fake_gpu.py."""

from __future__ import annotations

import sys
from contextlib import contextmanager

import pytest

if "fake_gpu.device" not in sys.modules:
    pytest.skip("needs the simulated GPU: -p fake_gpu.plugin", allow_module_level=True)

import torch
import torch.distributed as dist
from conftest import training_mixtures
from fake_gpu.device import LEDGER, Stream, unwrapped
from torch.testing._internal.distributed.fake_pg import FakeStore

from arguments import parse_arguments
from dataset.collate import collate
from dataset.index import read_index
from evaluation import evaluate
from from_options import build_model
from models.backend import shells
from models.minkowski_net import SparseResNet18
from runs.state import RunKeeper, RunState
from training import Trainer
from utils import checkpoint
from utils.host import OnItsWay
from utils.precision import computing
from utils.sync_batch_norm import SyncBatchNorm

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
    trainer = Trainer(build_model(options, device=GPU), options)
    trainer.model.train()
    return trainer


def an_iteration(trainer, batch):
    loss = OnItsWay(trainer.compute_gradients([batch])[0])
    trainer.step()
    return loss


@pytest.mark.parametrize(
    ("options", "waits"),
    [
        *[((), 3), (("--amp", "bf16"), 3), (("--optimizer", "adam"), 3)],
        (("--amp", "fp16"), 4),  # whether a gradient overflowed
    ],
)
def test_waits_of_a_training_iteration(batches, options, waits):
    """For the number of voxels, of the clouds and at all strides, and for the loss of the iteration before alone."""
    trainer = trainer_of(*options)
    loss = an_iteration(trainer, batches[0])
    LEDGER.clear()
    an_iteration(trainer, batches[1])
    loss.value()
    assert LEDGER.num_waits == waits, LEDGER.report()
    assert LEDGER.waits["synchronize", "utils/host.py"] <= 1


def test_a_batch_is_copied_on_a_stream_of_its_own(batches, monkeypatch):
    """What is launched afterwards waits for that stream, the host does not."""
    events = []

    @contextmanager
    def on_stream(stream):
        before = len(LEDGER.operations)
        yield
        events.append([operation.name for operation in LEDGER.operations[before:]])

    monkeypatch.setattr("torch.cuda.stream", on_stream)
    monkeypatch.setattr(Stream, "wait_stream", lambda stream, other: events.append("wait"))
    LEDGER.clear()
    batch = batches[0].to(GPU)
    assert events == [["_to_copy"] * 5, "wait"]  # the sources; coordinates and features of those who play or do not
    assert LEDGER.num_waits == 0, LEDGER.report()
    assert len(batch.absent) == len(batch.clouds) == 2


@pytest.fixture
def two_processes():
    """A second process that agrees to everything and adds nothing, by PyTorch's own stand-in."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    yield
    dist.destroy_process_group()


def test_batch_norm_over_two_processes(batches, two_processes, monkeypatch):
    """Without the exchange of gradients, and with our batch norm of images: PyTorch's has kernels for GPUs alone."""
    monkeypatch.setattr("training.replicate", lambda model: model)
    monkeypatch.setattr("torch.nn.SyncBatchNorm", SyncBatchNorm)
    trainer = trainer_of("--sync_bn", "1")
    assert any(isinstance(module, SyncBatchNorm) for module in trainer.model.modules())
    an_iteration(trainer, batches[0])
    LEDGER.clear()
    an_iteration(trainer, batches[1])
    reduced = [operation for operation in LEDGER.operations if operation.name == "allreduce_"]
    assert len(reduced) > 100, LEDGER.report()
    assert LEDGER.num_waits == 2, LEDGER.report()


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


def test_deterministic_training_launches_no_more(batches):
    """What it costs is what cuDNN's and cuBLAS's deterministic kernels cost, which no count shows."""
    counts = []
    for options in ((), ("--deterministic", "1")):
        trainer = trainer_of(*options)
        with computing("train", "auto", deterministic=bool(options)):
            an_iteration(trainer, batches[0])
            LEDGER.clear()
            an_iteration(trainer, batches[1])
        counts.append((LEDGER.num_waits, LEDGER.num_launches))
    assert counts[0] == counts[1]


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
    """As above; Triton's interpreter runs the kernels on what the simulated GPU holds."""
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
    model = build_model(options, device=GPU)
    counts = []
    for loader in (Batches(batches[:1]), Batches(batches[:1]), Batches(batches)):  # the first fills what is kept
        LEDGER.clear()
        evaluate(model, loader, tmp_path, options)
        counts.append(LEDGER.num_waits)
    assert counts[2] - counts[1] == waits, LEDGER.report()


class Batches(list):
    """What an evaluation asks of a loader."""

    left_out = ()
