"""Training iterations of ours and plain ones, in blocks that take turns."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.data import index_rows
from benchmarks.plain_loader import PlainLoader, plain_batch
from benchmarks.timing import now
from dataset.loader import BatchLoader
from dataset.music import MUSICMixDataset
from from_options import build_model, changed, frames_of, optimizer_of, voxels_of, window_of
from models import SeparationNet, sparse
from models.backend import choose_engine, engine_name, import_minkowski, supports
from models.separation_net import EPSILON
from models.targets import loss_weight, target_masks
from utils.seeding import seed_everything

BATCH_SIZE, WORKERS = 8, 2
AHEAD = 2 * WORKERS  # batches that PyTorch's loader makes ahead
WARM, MEASURED = 2, 4  # iterations of a block; the first ones find an empty queue of batches


def our_loader(folder: str, model: argparse.Namespace, iterations: int, device: torch.device) -> BatchLoader:
    """The product's own, of so many batches and those that it still makes when they are done."""
    rows = index_rows(folder)
    dataset = MUSICMixDataset(
        rows,
        training=True,
        num_samples=(iterations + AHEAD) * BATCH_SIZE,
        seed=model.seed,
        num_mix=model.num_mix,
        window=window_of(model),
        frames=frames_of(model),
        voxels=voxels_of(model),
    )
    settings = {"batch_size": BATCH_SIZE, "workers": WORKERS, "pin_memory": device.type == "cuda"}
    return BatchLoader(dataset, seed=model.seed, shuffle=True, **settings)


def compare_with_plain(folder: str, model: argparse.Namespace, rounds: int, device: torch.device) -> dict:
    """Prints samples a second of our iterations and of plain ones, in blocks that take turns.

    A plain iteration has the same modules, layout and optimiser as PyTorch gives them, MinkowskiEngine where it is
    installed, and batches of the plain loader, with as many workers.
    """
    minkowski = import_minkowski()
    plain_engine = minkowski if minkowski and supports(minkowski, device) else sparse
    seconds = {"ours": [], "plain": []}
    for number in range(rounds):
        loader = our_loader(folder, model, WARM + MEASURED, device)
        loader.set_epoch(number + 1)
        seconds["ours"] += time_block(our_iterations(model, loader, device), device)
        seconds["plain"] += time_block(plain_iterations(folder, model, plain_engine, device), device)
    rates = {name: BATCH_SIZE / statistics.mean(taken) for name, taken in seconds.items()}
    ratio = rates["ours"] / rates["plain"]
    print(
        f"samples a second: {rates['ours']:.2f}; of plain iterations, with {engine_name(plain_engine)}'s sparse engine "
        f"and the plain loader, {rates['plain']:.2f}: {ratio:.2f} times"
    )
    return {"race_samples_per_s": rates, "plain_engine": engine_name(plain_engine), "ratio": ratio}


def time_block(iterations: Iterator[None], device: torch.device) -> list[float]:
    """Seconds of the iterations after the first ones."""
    seconds = []
    for _ in range(WARM + MEASURED):
        start = now(device)
        next(iterations)
        seconds.append(now(device) - start)
    iterations.close()
    return seconds[WARM:]


def our_iterations(model: argparse.Namespace, loader: BatchLoader, device: torch.device) -> Iterator[None]:
    """Trains a new net, an iteration at a time."""
    seed_everything(model.seed)
    net = build_model(model, choose_engine(model.sparse_backend, device), device).train()
    optimizer = optimizer_of(model, net)
    for batch in loader:
        batch = batch.to(device)
        optimizer.zero_grad(set_to_none=True)
        net(batch.mixture, batch.clouds, batch.sources).loss.backward()
        optimizer.step()
        yield


def plain_iterations(folder: str, model: argparse.Namespace, engine: object, device: torch.device) -> Iterator[None]:
    """The same with nothing of ours but the modules."""
    seed_everything(model.seed)
    net = build_model(changed(model, channels_last="no"), engine, device).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=model.lr_sound, momentum=model.beta1)
    samples = PlainLoader(index_rows(folder), model.audLen, model.audRate, model.voxel_size, bool(model.rgbs_feature))
    keys = [(1, n % len(samples)) for n in range((WARM + MEASURED + AHEAD) * BATCH_SIZE)]
    loader = DataLoader(
        samples, BATCH_SIZE, sampler=keys, num_workers=WORKERS, collate_fn=plain_batch, pin_memory=device.type == "cuda"
    )
    for mixture, sources, clouds in loader:
        mixture, sources = mixture.to(device), sources.to(device)
        clouds = [tuple(part.to(device) for part in cloud) for cloud in clouds]
        optimizer.zero_grad()
        plain_loss(net, mixture, sources, clouds).backward()
        optimizer.step()
        yield


def plain_loss(net: SeparationNet, mixture: Tensor, sources: Tensor, clouds: list[tuple[Tensor, ...]]) -> Tensor:
    """The loss from magnitudes that the loader made: mixture `[B, 1, F, T]`, sources `[N, B, 1, F, T]`."""
    magnitude = net.to_log_frequency(mixture + EPSILON)
    warped = torch.stack([net.to_log_frequency(source) for source in sources])
    targets, weight = target_masks(magnitude, warped, net.binary_mask), loss_weight(magnitude, net.weighted_loss)
    seen = torch.cat([net.look(cloud, len(mixture)) for cloud in clouds])  # a pass of the vision net for each source
    masks = net.fuse(seen, net.listen(magnitude))
    losses = [net.criterion(mask, target, weight) for mask, target in zip(masks, targets, strict=True)]
    return torch.stack(losses).mean()
