"""Trains and evaluates source separation conditioned on point clouds: `python main.py --help` lists the options."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from arguments import choose_device, parse_arguments, run_name
from dataset.eval_list import describe, read_eval_list
from dataset.index import read_index
from dataset.loader import BatchLoader
from dataset.music import MUSICMixDataset, SourceDraw
from models import Separator, build_separator, start_from_classifier
from models.backend import choose_engine, engine_name
from models.separator import Separation
from utils import checkpoint
from utils.errors import InputError, run_command
from utils.meters import Mean
from utils.metrics import score
from utils.optimizer import build_optimizer, build_schedule
from utils.progress import Progress, say
from utils.results import (
    SCORES,
    EvaluationTable,
    format_summary,
    is_empty,
    new_history,
    plot_history,
    record,
    remove_results,
    replacing_visuals,
    write_config,
)
from utils.seeding import seed_everything
from utils.visuals import write_separation

NETS = ("sound", "vision", "synthesizer")


def main() -> None:
    options = parse_arguments()
    seed_everything(options.seed)
    if options.mode == "train":
        train(options)
    else:
        evaluate_run(options)


def train(options: argparse.Namespace) -> None:
    """Trains a new run into `ckpt/<run name>/`, evaluating before the first epoch and every `eval_epoch`."""
    run = Path(options.ckpt) / run_name(options)
    if run.exists() and not (options.overwrite and run.is_dir()) and not is_empty(run):
        raise InputError(f"{run}: already holds a run; choose another --id, or --overwrite 1 to write over it")
    device = choose_device(options.device)
    train_loader = build_loader(options, training=True, device=device)
    val_loader = build_loader(options, training=False, device=device)
    engine = choose_engine(options.sparse_backend, device)
    separator = build_separator(options, engine)
    start_vision(separator, options)
    separator.to(device)
    optimizer = build_optimizer(separator, options)
    schedule = build_schedule(optimizer, options.lr_steps)
    say(f"run {run}, {device}, {sum(p.numel() for p in separator.parameters()):,} parameters")
    say(f"{len(train_loader)} iterations an epoch, {len(val_loader.loader.dataset)} validation mixtures")
    span = (options.num_frames - 1) * options.stride_frames / options.frameRate
    say(f"{options.num_frames} point-cloud frame(s) of each source, {span:.2f} s from first to last")
    say(f"sparse engine: {engine_name(engine)}")
    remove_results(run)
    write_config(run, options, device, sparse_engine=engine_name(engine))

    history = new_history()
    with SummaryWriter(run / "tensorboard") as writer:
        for epoch in Progress(range(options.num_epoch + 1), "training", options.disp_iter):
            if epoch:
                train_loader.set_epoch(epoch)
                loss = train_epoch(separator, train_loader, optimizer, epoch, writer, options)
                record(history["train"], epoch, {"loss": loss})
                schedule.step()
            if epoch % options.eval_epoch == 0 or epoch == options.num_epoch:
                summary = evaluate(separator, val_loader, run, options, epoch=epoch)
                record(history["val"], epoch, summary)
                for name in ("loss", *SCORES, "sdr_improvement", "si_sdr_improvement"):
                    writer.add_scalar(f"val/{name}", summary[name], epoch)
                say(f"epoch {epoch}\n{format_summary(summary)}")
                save(separator, run, history)


def train_epoch(
    separator: Separator,
    loader: BatchLoader,
    optimizer: torch.optim.Optimizer,
    epoch: int,
    writer: SummaryWriter,
    options: argparse.Namespace,
) -> float:
    """One pass over the training mixtures; returns their mean loss."""
    separator.train()
    device = next(separator.parameters()).device
    mean, start = Mean(), (epoch - 1) * len(loader)
    progress = Progress(loader, f"epoch {epoch}/{options.num_epoch}", options.disp_iter)
    for iteration, batch in enumerate(progress, start):
        batch = batch.to(device)
        optimizer.zero_grad(set_to_none=True)
        loss = separator(batch.mixture, batch.clouds, batch.sources).loss
        loss.backward()
        optimizer.step()
        if iteration % options.disp_iter == 0 or len(loader) < options.disp_iter:
            writer.add_scalar("train/loss", loss.item(), iteration)
            for group in optimizer.param_groups:
                writer.add_scalar(f"lr/{group['name']}", group["lr"], iteration)
        mean.add(loss.item(), len(batch))
        progress.note = f"loss {mean.value:.4f}"
    return mean.value


def evaluate(separator: Separator, loader: BatchLoader, run: Path, options: argparse.Namespace, **about) -> dict:
    """Separates and scores every mixture of the list, writes the results into `run` and returns their summary."""
    with replacing_visuals(run) as visuals:
        table = separate_and_score(separator, loader, visuals, options)
    settings = ("list_val", "eval_list", "seed", "num_mix", "num_frames", "audLen", "bss_eval")
    table.write(run, **{name: getattr(options, name) for name in settings}, **about)
    return table.summary()


@torch.no_grad()
def separate_and_score(
    separator: Separator, loader: BatchLoader, visuals: Path, options: argparse.Namespace
) -> EvaluationTable:
    """The scores of every mixture; the first `num_vis` are drawn, each in a folder of `visuals`."""
    separator.eval()
    device = next(separator.parameters()).device
    table = EvaluationTable()
    progress = Progress(loader, "evaluation", options.disp_iter)
    for batch in progress:
        batch = batch.to(device)
        result = separator(batch.mixture, batch.clouds, batch.sources)
        estimates = separator.apply_masks(result.spectrum, result.masks)  # [N, B, L']
        length = estimates.shape[-1]
        sources, mixture = batch.sources[..., :length], batch.mixture[..., :length]  # [N, B, L'], [B, L']
        table.loss.add(result.loss.item(), len(batch))
        scores = score(sources, estimates, mixture, options.bss_eval)
        for b, draws in enumerate(batch.draws):
            made_of = {"index": batch.indices[b], **describe(draws, options.audLen, options.audRate)}
            table.add(made_of, scores[b])
            if len(table.rows) <= options.num_vis:
                names = "+".join(f"{draw.row.instrument}-{Path(draw.row.audio_path).stem[:40]}" for draw in draws)
                folder = visuals / f"{batch.indices[b]:04d}_{names}"
                waves = (wave[..., b, :].cpu().numpy() for wave in (sources, estimates, mixture))
                write_visuals(folder, separator, result, b, draws, *waves, options.audRate)
    return table


def write_visuals(
    folder: Path,
    separator: Separator,
    result: Separation,
    b: int,
    draws: list[SourceDraw],
    sources: np.ndarray,
    estimates: np.ndarray,
    mixture: np.ndarray,
    rate_hz: int,
) -> None:
    """Pictures, sounds and clouds of mixture b of a batch; waveforms `[N, L]`, `[N, L]` and `[L]`."""
    magnitude = result.magnitude[b, 0].cpu().numpy()  # [F', T]
    targets, masks = (mask[:, b, 0].cpu().numpy() for mask in (result.targets, result.masks))  # [N, F', T]
    if separator.binary_mask:
        masks = (masks > separator.mask_thres).astype(masks.dtype)
    waves, magnitudes = {"mix": mixture}, {"mix": magnitude}
    pictures, clouds = {"weight": result.weight[b, 0].cpu().numpy() / result.weight[b].max().item()}, {}
    for n, draw in enumerate(draws):
        waves |= {f"gt{n + 1}": sources[n], f"pred{n + 1}": estimates[n]}
        magnitudes |= {f"gtamp{n + 1}": targets[n] * magnitude, f"predamp{n + 1}": masks[n] * magnitude}
        pictures |= {f"gtmask{n + 1}": targets[n], f"predmask{n + 1}": masks[n]}
        clouds |= {f"point{n + 1}_frame{k}": draw.row.frame_path(f) for k, f in enumerate(draw.frames, 1)}
    write_separation(folder, rate_hz, waves, magnitudes, pictures, clouds)


def evaluate_run(options: argparse.Namespace) -> None:
    """Evaluates the best weights of `ckpt/<id>/` on the list `list_val`."""
    run = Path(options.ckpt) / options.id
    device = choose_device(options.device)
    for net in NETS:
        if not getattr(options, f"weights_{net}"):
            setattr(options, f"weights_{net}", str(run / f"{net}_best.pth"))
    engine = choose_engine(options.sparse_backend, device)
    say(f"sparse engine: {engine_name(engine)}")
    separator = build_separator(options, engine).to(device)
    loader = build_loader(options, training=False, device=device)
    weights = [getattr(options, f"weights_{net}") for net in NETS]
    summary = evaluate(separator, loader, run, options, weights=weights)
    print(f"{run} on {options.eval_list or options.list_val}\n{format_summary(summary)}")


def build_loader(options: argparse.Namespace, training: bool, device: torch.device) -> BatchLoader:
    """The mixtures of the training or the validation list."""
    rows, listed = [], None
    if options.eval_list and not training:
        sizes = {name: getattr(options, name) for name in ("num_mix", "num_frames")}
        listed = read_eval_list(options.eval_list, **sizes, aud_len=options.audLen, aud_rate=options.audRate)
    else:
        rows = read_index(options.list_train if training else options.list_val)
    count = len(rows) * options.dup_trainset if training else len(listed or rows)
    if not training and options.num_val >= 0:
        count = min(count, options.num_val)
    if not count:
        raise InputError("--num_val 0: there is nothing to evaluate; use -1 for the whole list")
    dataset = MUSICMixDataset(
        rows,
        training=training,
        num_samples=count,
        seed=options.seed,
        num_mix=options.num_mix,
        num_frames=options.num_frames,
        stride_frames=options.stride_frames,
        aud_len=options.audLen,
        aud_rate=options.audRate,
        voxel_size=options.voxel_size,
        rgbs_feature=bool(options.rgbs_feature),
        augment=options.augment,
        cache=options.cache,
        listed=listed,
    )
    return BatchLoader(
        dataset,
        batch_size=options.batch_size_per_gpu,
        seed=options.seed,
        shuffle=training,
        period=len(rows),
        workers=min(options.workers, os.cpu_count() or 1),
        pin_memory=device.type == "cuda",
    )


def start_vision(separator: Separator, options: argparse.Namespace) -> None:
    """Starts the vision trunk from the pretrained classifier, unless weights were given."""
    if options.weights_vision:
        return
    if Path(options.pretrained_vision).exists():
        start_from_classifier(separator.vision, options.pretrained_vision)
        say(f"vision trunk starts from {options.pretrained_vision}")
    else:
        say(f"no {options.pretrained_vision}: the vision trunk starts from random weights and learns far more slowly")


def save(separator: Separator, run: Path, history: dict) -> None:
    """Writes the latest weights, also as the best at the lowest validation loss so far, the history and curves."""
    losses = history["val"]["loss"]
    labels = ["latest", "best"] if losses[-1] == min(losses) else ["latest"]
    for net in NETS:
        for label in labels:
            checkpoint.save(getattr(separator, net).state_dict(), run / f"{net}_{label}.pth")
    checkpoint.save(history, run / "history_latest.pth")
    plot_history(run, history)


if __name__ == "__main__":
    run_command(main)
