"""Training iterations of the default model on real files: what each stage costs, and against a plain iteration."""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor

from arguments import choose_device, parse_arguments
from benchmarks.data import write_files
from benchmarks.estimate import estimate_step
from benchmarks.floors import report_floors
from benchmarks.race import BATCH_SIZE, WARM, WORKERS, compare_with_plain, our_loader
from benchmarks.timing import now
from dataset.collate import Batch
from dataset.loader import BatchLoader
from from_options import build_model, optimizer_of
from models import SeparationNet
from models.backend import choose_engine, engine_name
from models.separation_net import EPSILON
from models.targets import loss_weight
from utils.errors import InputError
from utils.leftovers import scratch
from utils.spectrogram import stft

STAGES = ("waiting for data", "transfer", "spectrogram", "vision", "sound", "fusion", "loss", "optimiser")

MEASURABLE = {  # with
    *("num_mix", "num_frames", "arch_sound", "ngf", "num_channels", "rgbs_feature", "voxel_size", "audLen", "log_freq"),
    *("amp", "channels_last", "compile", "grad_checkpoint", "sparse_backend"),
}


def benchmark_step(options: argparse.Namespace) -> dict:
    """Seconds of every stage of an iteration, memory, floors, and samples a second against a plain iteration."""
    model = training_options(options.training)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("there is no GPU here to measure")
        return estimate_step(options.training)
    device = choose_device(options.device)
    engine = choose_engine(model.sparse_backend, device)
    others = f" with {' '.join(options.training)}" if options.training else ""
    print(
        f"iterations of the default model{others} ({model.arch_sound}, {model.num_mix} sources, audLen "
        f"{model.audLen}), batch {BATCH_SIZE}, {WORKERS} workers, all augmentations, {device}, "
        f"{torch.get_num_threads()} threads, {engine_name(engine)} sparse engine"
    )
    with scratch("benchmark") as folder:
        write_files(folder)
        iterations = WARM + max(3, options.pairs)
        loader = our_loader(folder, model, iterations, device)
        net = build_model(model, engine, device).train()
        optimizer = optimizer_of(model, net)
        taken, batch = time_stages(net, loader, optimizer, device, iterations)
        figures = report_stages(taken)
        figures |= {"peak_memory_mib": peak_memory_mib(device), "sample_cpu_s": time_samples(loader)}
        memory, making = figures["peak_memory_mib"], figures["sample_cpu_s"]
        print(f"peak memory {memory:.0f} MiB; one process makes a sample in {making:.3f} s")
        figures |= report_floors(net, batch, figures["computed_s"], device)
        del net, optimizer
        if not options.training:
            figures |= compare_with_plain(folder, model, max(1, options.pairs // 3), device)
    parameters = sum(p.numel() for p in build_model(model).parameters())
    voxels = len(batch.clouds[0]) / (BATCH_SIZE * model.num_mix * model.num_frames)
    about = {"device": str(device), "threads": torch.get_num_threads(), "batch_size": BATCH_SIZE, "workers": WORKERS}
    about |= {"parameters": parameters, "voxels": voxels, "audLen": model.audLen, "audRate": model.audRate}
    return {**about, "num_mix": model.num_mix, "num_frames": model.num_frames, **figures}


def training_options(words: list[str]) -> argparse.Namespace:
    """The defaults of `main.py`, but for these; raises InputError for an option that is not measured here."""
    default, model = (parse_arguments(["--id", "benchmark", *more]) for more in ([], words))
    others = [name for name, value in vars(model).items() if value != getattr(default, name) and name not in MEASURABLE]
    if others:
        raise InputError(f"--with: --{others[0]} is not measured here; these are: --{' --'.join(sorted(MEASURABLE))}")
    return model


def time_stages(
    net: SeparationNet, loader: BatchLoader, optimizer: torch.optim.Optimizer, device: torch.device, iterations: int
) -> tuple[list[dict], Batch]:
    """Trains: seconds of each (stage, way) in each iteration but the first ones, and the last batch."""
    taken = []
    batches = iter(loader)
    for _ in range(iterations):
        clock = Clock(device)
        batch = next(batches)
        clock("waiting for data")
        batch = batch.to(device)
        clock("transfer")
        optimizer.zero_grad(set_to_none=True)
        compute_by_stages(net, batch, clock)
        optimizer.step()
        clock("optimiser")
        taken.append(clock.seconds)
    batches.close()
    return taken[WARM:], batch


def compute_by_stages(net: SeparationNet, batch: Batch, clock: Callable[..., None]) -> Tensor:
    """The forward and backward of `SeparationNet`, stage by stage; `clock(stage, way)` is called after each -> loss."""
    spectrum = stft(batch.mixture, net.stft_frame, net.stft_hop)  # [B, F, T]
    magnitude = net.to_log_frequency(spectrum.abs().unsqueeze(1) + EPSILON)  # [B, 1, F', T]
    weight = loss_weight(magnitude, net.weighted_loss, net.weight_scale)
    targets = net.targets(magnitude, batch.sources)  # [N, B, 1, F', T]
    clock("spectrogram")
    seen = net.look(batch.clouds, len(batch))  # [N, B, C]
    clock("vision")
    heard = net.listen(magnitude)  # [B, C, F', T]
    clock("sound")
    cut_seen, cut_heard = seen.detach().requires_grad_(), heard.detach().requires_grad_()
    masks = net.fuse(cut_seen, cut_heard)  # [N, B, 1, F', T]
    clock("fusion")
    cut_masks = masks.detach().requires_grad_()
    losses = [net.criterion(mask, target, weight) for mask, target in zip(cut_masks, targets, strict=True)]
    loss = torch.stack(losses).mean()
    clock("loss")
    for stage, output, gradient in (
        ("loss", loss, lambda: None),
        ("fusion", masks, lambda: cut_masks.grad),
        ("sound", heard, lambda: cut_heard.grad),
        ("vision", seen, lambda: cut_seen.grad),
    ):
        output.backward(gradient())
        clock(stage, "backward")
    return loss


class Clock:
    """Called after a stage with its name; `seconds[stage, way]` are those since the call before."""

    def __init__(self, device: torch.device):
        self.device, self.seconds = device, defaultdict(float)
        self.last = now(device)

    def __call__(self, stage: str, way: str = "forward") -> None:
        time_now = now(self.device)
        self.seconds[stage, way] += time_now - self.last
        self.last = time_now


def report_stages(taken: list[dict]) -> dict:
    """Prints the table of the stages; means, as a wait for data may come now and then."""

    def mean(stage: str, way: str) -> float:
        return statistics.mean(one.get((stage, way), 0.0) for one in taken)

    total = statistics.mean(sum(one.values()) for one in taken)
    stages = {stage: {way: mean(stage, way) for way in ("forward", "backward")} for stage in STAGES}
    print(f"{'stage':<18}{'forward s':>11}{'backward s':>12}{'share':>9}")
    for stage, ways in stages.items():
        backward = f"{ways['backward']:12.4f}" if ways["backward"] else " " * 12
        print(f"{stage:<18}{ways['forward']:11.4f}{backward}{sum(ways.values()) / total:9.1%}")
    print(f"{'iteration':<18}{total:11.4f}{'':12}{BATCH_SIZE / total:9.2f} samples a second")
    waited = stages["waiting for data"]["forward"]
    return {"iteration_s": total, "computed_s": total - waited, "samples_per_s": BATCH_SIZE / total, "stages_s": stages}


def peak_memory_mib(device: torch.device) -> float:
    """Of the GPU's memory, or of this process in main memory, in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def time_samples(loader: BatchLoader, count: int = 8) -> float:
    """Seconds that one sample takes to make, by one process."""
    dataset = loader.loader.dataset
    start = time.perf_counter()
    for index in range(count):
        dataset[1, index]
    return (time.perf_counter() - start) / count
