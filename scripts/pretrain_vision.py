"""Pretrains the vision trunk: a classifier of point clouds, saved in the form of models/resnet18_pretrained.pth.

The data are folders `<class>/train/*.ply` and `<class>/test/*.ply`, a cloud in each file.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.data import Dataset

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from arguments import choose_device  # noqa: E402
from dataset.collate import collate_clouds  # noqa: E402
from dataset.loader import BatchLoader  # noqa: E402
from dataset.music import Cloud  # noqa: E402
from dataset.point_transforms import PointAugmentation  # noqa: E402
from dataset.points import load_voxels  # noqa: E402
from models.minkowski_net import SparseResNet18Classifier  # noqa: E402
from utils import checkpoint  # noqa: E402
from utils.errors import InputError, run_command  # noqa: E402
from utils.meters import Mean  # noqa: E402
from utils.optimizer import choose_optimizer  # noqa: E402
from utils.options import ArgumentParser, real, switch, whole  # noqa: E402
from utils.progress import Progress, say  # noqa: E402
from utils.seeding import generator, seed_everything  # noqa: E402


class LabelledClouds(Dataset):
    """Clouds by key (epoch, index), each with the number of its class; augmented when training.

    Raises:
        InputError: no classes, or a class without clouds for the part (`train` or `test`).
    """

    def __init__(self, root: Path, part: str, voxel_size: float, rgbs_feature: bool, augment: float, seed: int):
        self.voxel_size, self.rgbs_feature, self.seed = voxel_size, rgbs_feature, seed
        self.augment = augment if part == "train" else 0.0
        if not root.is_dir():
            raise InputError(f"{root}: no such folder; expected <class>/train/*.ply and <class>/test/*.ply in it")
        self.classes = sorted(folder.name for folder in root.iterdir() if folder.is_dir())
        self.items: list[tuple[Path, int]] = []
        for label, name in enumerate(self.classes):
            paths = sorted((root / name / part).glob("*.ply"))
            if not paths:
                raise InputError(f"{root / name / part}: holds no PLY files")
            self.items += [(path, label) for path in paths]
        if len(self.classes) < 2:
            raise InputError(f"{root}: expected at least two folders of classes, found {len(self.classes)}")

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Cloud, int] | InputError:
        epoch, index = key
        path, label = self.items[index]
        rng = generator(self.seed, epoch, index)
        augmentation = PointAugmentation.draw(rng, self.augment) if self.augment else None
        try:
            return load_voxels(str(path), self.voxel_size, self.rgbs_feature, augmentation, rng), label
        except InputError as error:
            return error


def collate(samples: list) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Labelled clouds -> coordinates `[V, 4]`, features `[V, 3]`, labels `[B]`."""
    clouds, labels = zip(*samples, strict=True)
    return *collate_clouds(list(clouds)), torch.tensor(labels)


def main() -> None:
    options = parse_arguments()
    if options.output.exists() and not options.overwrite:
        raise InputError(f"{options.output}: exists; choose another --output, or --overwrite 1 to replace it")
    seed_everything(options.seed)
    device = choose_device(options.device)
    train_loader, test_loader = (build_loader(options, part) for part in ("train", "test"))
    classes = train_loader.loader.dataset.classes
    net = SparseResNet18Classifier(len(classes)).to(device)
    groups = [{"params": net.parameters(), "lr": options.lr}]
    optimizer = choose_optimizer(options.optimizer, groups, 0.9, options.weight_decay)
    steps = options.num_epoch * len(train_loader)
    rise = min(0.9, max(0.1, 2.5 / steps))  # a tenth of the way, of very short ways more
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, total_steps=steps, pct_start=rise)
    say(f"{len(classes)} classes, {len(train_loader.loader.dataset)} training clouds, {steps} iterations on {device}")
    for epoch in range(1, options.num_epoch + 1):
        train_loader.set_epoch(epoch)
        loss = train_epoch(net, train_loader, optimizer, schedule, f"pretraining {epoch}/{options.num_epoch}")
        if epoch % options.eval_epoch == 0 or epoch == options.num_epoch:
            say(f"epoch {epoch}: loss {loss:.3f}, {100 * accuracy(net, test_loader):.1f} % of the test clouds named")
    checkpoint.save({"state_dict": net.state_dict(), "classes": classes}, options.output)
    say(f"wrote {options.output}")


def train_epoch(net: SparseResNet18Classifier, loader: BatchLoader, optimizer, schedule, label: str) -> float:
    """One pass over the training clouds; returns their mean loss."""
    net.train()
    device, mean = next(net.parameters()).device, Mean()
    progress = Progress(loader, label)
    for batch in progress:
        coordinates, features, labels = (part.to(device) for part in batch)
        loss = F.cross_entropy(net(coordinates, features), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        mean.add(loss.item(), len(labels))
        progress.note = f"loss {mean.value:.3f}"
    return mean.value


@torch.no_grad()
def accuracy(net: SparseResNet18Classifier, loader: BatchLoader) -> float:
    """Share of the clouds whose class the net names."""
    net.eval()
    device, right = next(net.parameters()).device, Mean()
    for batch in loader:
        coordinates, features, labels = (part.to(device) for part in batch)
        right.add((net(coordinates, features).argmax(dim=1) == labels).float().mean().item(), len(labels))
    return right.value


def build_loader(options: argparse.Namespace, part: str) -> BatchLoader:
    """Clouds of the part `train`, shuffled and augmented, or `test`."""
    dataset = LabelledClouds(
        options.data, part, options.voxel_size, bool(options.rgbs_feature), options.augment, options.seed
    )
    return BatchLoader(
        dataset,
        batch_size=options.batch_size,
        seed=options.seed,
        shuffle=part == "train",
        workers=min(options.workers, os.cpu_count() or 1),
        collate_fn=collate,
    )


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, default=Path("data/modelnet40"), help="folder of the classes")
    add("--output", type=Path, default=Path("models/resnet18_pretrained.pth"), help="file to write")
    add("--overwrite", type=switch, default=0, help="1: replace the file, if there is one")
    add("--num_epoch", type=whole(1), default=100, help="passes over the training clouds")
    add("--eval_epoch", type=whole(1), default=5, help="epochs from one test to the next")
    add("--batch_size", type=whole(2), default=16, help="clouds in a batch")
    add("--optimizer", default="sgd", choices=["sgd", "adam"])
    add("--lr", type=real(0, exclusive=True), default=0.1, help="highest learning rate, reached after a tenth")
    add("--weight_decay", type=real(0), default=1e-4, help="L2 regularisation")
    add("--voxel_size", type=real(0, exclusive=True), default=0.02, help="edge of a voxel in metres")
    add("--rgbs_feature", type=switch, default=0, help="1: colours as voxel features, 0: the points themselves")
    add("--augment", type=real(0), default=1.0, help="strength of all augmentations; 0: none")
    add("--seed", type=whole(0), default=1234, help="of initial weights, order and augmentations")
    add("--device", default="auto", choices=["auto", "cuda", "cpu", "mps"])
    add("--workers", type=whole(0), default=2, help="processes that load data; 0: none beside the main one")
    return parser.parse_args()


if __name__ == "__main__":
    run_command(main)
