"""Pretrains the vision trunk: a classifier of shapes, saved in the form of models/resnet18_pretrained.pth.

The data are folders `<class>/train/` and `<class>/test/` of OFF meshes, as in ModelNet40, or of PLY clouds. In addition
to the weights `<output>.pth` it writes `<output>.json`, which says how they were made, and the folder `<output>/` with
`last.pth`, from which --resume 1 resumes, and the log for TensorBoard.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse
import math

import torch
import torch.nn.functional as F

from arguments import choose_device
from dataset.labelled import LabelledClouds, collate_labelled
from dataset.loader import BatchLoader
from dataset.meshes import SURFACE_POINTS
from dataset.settings import VoxelSettings
from models.minkowski_net import SparseResNet18Classifier
from runs.lock import locked
from runs.results import describe_run, is_empty
from runs.state import RunKeeper, RunState, read_last
from runs.tensorboard_log import TensorBoardLog
from utils import checkpoint
from utils.errors import InputError, run_command
from utils.files import finite, remove_leftovers, remove_leftovers_of, write_json
from utils.host import to_device
from utils.meters import Mean
from utils.optimizer import choose_optimizer, choose_schedule
from utils.options import ArgumentParser, check_unchanged, real, switch, whole
from utils.parallel import usable_cores
from utils.progress import Progress, say
from utils.seeding import seed_everything
from utils.signals import Stopped, StopSignals

MAY_CHANGE = {"data", "output", "overwrite", "resume", "save_iter", "device", "workers", "cache"}
LOG_EVERY = 20  # iterations


def main() -> int | None:
    options = parse_arguments()
    output = Path(options.output)
    run = output.with_suffix("")
    seed_everything(options.seed)
    with locked(run, another="--output"), StopSignals() as stop:
        remove_leftovers(run)
        remove_leftovers_of(output)
        try:
            pretrain(options, run, stop)
        except Stopped as stopped:
            say(f"stopped by {stopped}")
            return 128 + stopped.number
    return None


def pretrain(options: argparse.Namespace, run: Path, stop: StopSignals) -> None:
    """Trains a classifier from its beginning or from where it stopped, and writes it."""
    output = Path(options.output)
    if output.exists() and is_empty(run) and not options.overwrite:
        raise InputError(f"{output}: exists; choose another --output, or --overwrite 1 to replace it")
    last = read_last(run, bool(options.resume), bool(options.overwrite), another="--output")
    state = RunState(epoch=1)
    if last:
        check_unchanged(last["options"], vars(options), MAY_CHANGE)
        state = RunState(**last["state"])
    device = choose_device(options.device)
    train_loader, test_loader = (build_loader(options, part, stop) for part in ("train", "test"))
    note_data(state, options, train_loader, test_loader)
    classes = train_loader.loader.dataset.classes
    net = SparseResNet18Classifier(len(classes)).to(device)
    groups = [{"params": net.parameters(), "lr": options.lr}]
    optimizer = choose_optimizer(options.optimizer, groups, 0.9, options.weight_decay)
    keeper = RunKeeper(run, vars(options), state, {"classifier": net}, optimizer)
    if last:
        keeper.restore(last)
        say(f"resumes epoch {state.epoch} after {state.iteration} of its iterations")
    length = len(train_loader)
    steps, done = options.num_epoch * length, (state.epoch - 1) * length + state.iteration
    drops = [epoch * length for epoch in options.lr_steps]
    schedule = choose_schedule(options.schedule, optimizer, steps, drops, done)
    say(f"{len(classes)} classes, {len(train_loader.loader.dataset)} training clouds, {steps} iterations on {device}")
    if not last:
        keeper.save_last()
    try:
        with TensorBoardLog(run / "tensorboard", done and done + 1) as log:
            for epoch in range(state.epoch, options.num_epoch + 1):
                train_epoch(net, train_loader, optimizer, schedule, keeper, log, options)
                summary = None
                if epoch % options.eval_epoch == 0 or epoch == options.num_epoch:
                    summary = evaluate(net, test_loader, len(classes))
                    shown = {name: summary[name] for name in ("loss", "accuracy")}
                    log.add(epoch * length, {f"test/{name}": value for name, value in shown.items()})
                    named = f"{100 * summary['accuracy']:.1f} % of the test clouds named"
                    say(f"epoch {epoch}: loss {state.loss.value:.3f}, {named}")
                state.finish_epoch(summary)
                keeper.save_last()
    except Stopped:
        keeper.save_last()
        say(f"{run}: saved in epoch {state.epoch}; the same command with --resume 1 resumes it")
        raise
    write_classifier(output, net, classes, state, describe_run(vars(options), device))


def train_epoch(
    net: SparseResNet18Classifier,
    loader: BatchLoader,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    keeper: RunKeeper,
    log: TensorBoardLog,
    options: argparse.Namespace,
) -> None:
    """One pass over the training clouds, or the rest of it; `keeper.state` counts their losses."""
    net.train()
    device, state = next(net.parameters()).device, keeper.state
    loader.set_epoch(state.epoch, start=state.iteration)
    progress = Progress(loader, f"pretraining {state.epoch}/{options.num_epoch}", done=state.iteration)
    for batch in progress:
        coordinates, features, labels = to_device(batch, device)
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(net(coordinates, features), labels)
        loss.backward()
        value, iteration = loss.item(), (state.epoch - 1) * len(loader) + loader.done
        if not math.isfinite(value):
            raise InputError(f"iteration {iteration}: the loss is {value}, try a lower --lr; {keeper.last_good()}")
        rate = optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()
        state.add_batch(value, len(labels), loader.done)
        progress.note = f"loss {state.loss.value:.3f}"
        if iteration % LOG_EVERY == 0 or len(loader) < LOG_EVERY:
            log.add(iteration, {"train/loss": value, "lr": rate})
        if options.save_iter and iteration % options.save_iter == 0:
            keeper.save_last()


@torch.no_grad()
def evaluate(net: SparseResNet18Classifier, loader: BatchLoader, num_classes: int) -> dict:
    """The mean `loss` of the test clouds, the share `accuracy` whose class the net names, and that of each class,
    `per_class`."""
    net.eval()
    device, loss = next(net.parameters()).device, Mean()
    right, count = torch.zeros(2, num_classes)
    for batch in Progress(loader, "test"):
        coordinates, features, labels = to_device(batch, device)
        logits = net(coordinates, features)  # [B, classes]
        loss.add(F.cross_entropy(logits, labels).item(), len(labels))
        is_right = (logits.argmax(dim=1) == labels).float().cpu()
        right.index_add_(0, labels.cpu(), is_right)
        count.index_add_(0, labels.cpu(), torch.ones(len(labels)))
    return {"loss": loss.value, "accuracy": (right.sum() / count.sum()).item(), "per_class": (right / count).tolist()}


def write_classifier(
    output: Path, net: SparseResNet18Classifier, classes: list[str], state: RunState, description: dict
) -> None:
    """Writes the weights and how they were made, and says which classes are named least often."""
    test = state.history["val"][-1]
    per_class = dict(zip(classes, test["per_class"], strict=True))
    worst = sorted(per_class, key=per_class.get)[:5]
    say("named least often: " + ", ".join(f"{name} {100 * per_class[name]:.0f} %" for name in worst))
    checkpoint.save({"state_dict": net.state_dict(), "classes": classes}, output)
    made = {"epochs": state.epoch - 1, "test_accuracy": test["accuracy"], "test_loss": test["loss"]}
    write_json(output.with_suffix(".json"), finite({**made, "test_accuracy_per_class": per_class, **description}))
    say(f"wrote {output}")


def note_data(state: RunState, options: argparse.Namespace, *loaders: BatchLoader) -> None:
    """Notes which files there are, and reads the first.

    Raises:
        InputError: they are others than when the run began, or the first cannot be read as the options ask.
    """
    for part, loader in zip(("train", "test"), loaders, strict=True):
        clouds = loader.loader.dataset
        if state.lists.setdefault(part, clouds.fingerprint()) != clouds.fingerprint():
            raise InputError(f"{options.data}: holds other classes or files for {part} than when the run began")
        first = clouds[0, 0]
        if isinstance(first, InputError):
            raise first


def build_loader(options: argparse.Namespace, part: str, stop: StopSignals) -> BatchLoader:
    """Clouds of the part `train`, shuffled and augmented, or `test`."""
    clouds = LabelledClouds(
        Path(options.data),
        part,
        voxels=VoxelSettings(options.voxel_size, bool(options.rgbs_feature)),
        augment=options.augment,
        seed=options.seed,
        num_points=options.num_points,
        cache=options.cache,
    )
    return BatchLoader(
        clouds,
        batch_size=options.batch_size,
        seed=options.seed,
        shuffle=part == "train",
        workers=min(options.workers, usable_cores()),
        pin_memory=choose_device(options.device).type == "cuda",
        collate_fn=collate_labelled,
        check=stop.check,
    )


def parse_arguments() -> argparse.Namespace:
    """The options, checked; raises InputError."""
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--data", default="data/modelnet40", help="folder of the classes")
    add("--output", default="models/resnet18_pretrained.pth", help="file to write")
    add("--overwrite", type=switch, default=0, help="1: replace the file and the run, if there are any")
    add("--resume", type=switch, default=0, help="1: resume the run of this file; begin it if there is none")
    add("--save_iter", type=whole(0), default=0, help="iterations from one save to the next; 0: once an epoch")
    add("--num_epoch", type=whole(1), default=100, help="passes over the training clouds")
    add("--eval_epoch", type=whole(1), default=5, help="epochs from one test to the next")
    add("--batch_size", type=whole(2), default=16, help="clouds in a batch")
    add(
        "--optimizer",
        default="sgd",
        choices=["sgd", "adam"],
        help="SGD, momentum 0.9 (onecycle: 0.85 to 0.95), or Adam",
    )
    add("--lr", type=real(0, exclusive=True), default=0.1, help="highest learning rate")
    add("--schedule", default="onecycle", choices=["onecycle", "cosine", "step"], help="of the learning rate")
    add("--lr_steps", type=whole(1), nargs="*", default=[], help="with step: epochs after which it drops to a tenth")
    add("--weight_decay", type=real(0), default=1e-4, help="L2 regularisation")
    add("--voxel_size", type=real(0, exclusive=True), default=0.02, help="edge of a voxel in metres")
    add("--num_points", type=whole(1, SURFACE_POINTS), default=8192, help="points taken of a mesh, which is 1 m high")
    add("--rgbs_feature", type=switch, default=0, help="1: colours as voxel features, 0: the points themselves")
    add("--augment", type=real(0), default=1.0, help="strength of all augmentations; 0: none")
    add("--seed", type=whole(0), default=1234, help="of initial weights, order, points and augmentations")
    add("--device", default="auto", choices=["auto", "cuda", "cpu", "mps"])
    add("--workers", type=whole(0), default=2, help="processes that load data; 0: none beside the main one")
    add("--cache", default="", help="folder that keeps the points of meshes and clouds; none: read the files each time")
    options = parser.parse_args()
    if not options.output.endswith(".pth"):
        raise InputError(f"--output {options.output}: expected a name that ends in .pth")
    if options.resume and options.overwrite:
        raise InputError("--resume 1 resumes a run, --overwrite 1 starts it over: choose one")
    if bool(options.lr_steps) != (options.schedule == "step"):
        raise InputError("--schedule step needs --lr_steps, and no other schedule takes them")
    return options


if __name__ == "__main__":
    run_command(main)
