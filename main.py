"""Trains and evaluates source separation conditioned on point clouds: `python main.py --help` lists the options."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

import numpy as np
import torch

from arguments import NETS, check_resumed, choose_device, find_run, parse_arguments, weights_of
from dataset.eval_list import describe, read_eval_list
from dataset.index import read_index
from dataset.loader import BatchLoader
from dataset.music import MUSICMixDataset, SourceDraw
from models import SeparationNet, build_separation_net, start_from_classifier
from models.backend import choose_engine, engine_name
from models.separation_net import Separation
from reports.run_page import write_run_page
from utils.errors import InputError, run_command
from utils.files import remove_leftovers
from utils.lock import locked
from utils.metrics import score
from utils.optimizer import build_optimizer, set_learning_rates
from utils.progress import Progress, say
from utils.results import SCORES, EvaluationTable, format_summary, remove_results, replacing_visuals, write_config
from utils.run_state import RunKeeper, RunState, finish_outputs, note_lists, read_last
from utils.scalars import ScalarLog
from utils.seeding import seed_everything
from utils.signals import Stopped, StopSignals
from utils.skipped import Skipped
from utils.visuals import write_separation


def main() -> int | None:
    options = parse_arguments()
    seed_everything(options.seed)
    run = find_run(options)
    with locked(run), StopSignals() as stop:
        remove_leftovers(run)
        try:
            work = train if options.mode == "train" else evaluate_run
            work(options, run, stop)
        except Stopped as stopped:
            say(f"stopped by {stopped}")
            return 128 + stopped.number
    return None


def train(options: argparse.Namespace, run: Path, stop: StopSignals) -> None:
    """Trains a run into its folder, from its beginning or from where it stopped.

    It is evaluated before the first epoch, after every `eval_epoch` and after the last.
    """
    last = read_last(run, bool(options.resume), bool(options.overwrite))
    state = RunState()
    if last:
        check_resumed(last["options"], options)
        finish_outputs(run)
        if (run / "metrics.json").exists():
            write_run_page(run)
        state = RunState(**last["state"])
        if state.epoch > options.num_epoch:
            say(f"{run}: this run has finished its {options.num_epoch} epochs; a higher --num_epoch goes on with it")
            return
    skipped = Skipped(options.skip_bad_samples, state.skipped)
    device = choose_device(options.device)
    train_loader = build_loader(options, training=True, device=device, skipped=skipped, check=stop.check)
    val_loader = build_loader(options, training=False, device=device, skipped=skipped, check=stop.check)
    note_lists(state, options)
    engine = choose_engine(options.sparse_backend, device)
    model = build_separation_net(options if last is None else without_weights(options), engine)
    if last is None:
        say(f"{run}: a new run begins")
        start_vision(model, options)
    model.to(device)
    optimizer = build_optimizer(model, options)
    nets = {net: getattr(model, net) for net in NETS}
    keeper = RunKeeper(run, vars(options), state, nets, optimizer)
    say(f"run {run}, {device}, {sum(p.numel() for p in model.parameters()):,} parameters")
    say(f"{len(train_loader)} iterations an epoch, {len(val_loader.loader.dataset)} validation mixtures")
    span = (options.num_frames - 1) * options.stride_frames / options.frameRate
    say(f"{options.num_frames} point-cloud frame(s) of each source, {span:.2f} s from first to last")
    say(f"sparse engine: {engine_name(engine)}")
    if last:
        keeper.restore(last)
        say(f"goes on with epoch {state.epoch}, after {state.iteration} of its iterations")
    else:
        keeper.save()
    if not state.epoch:
        remove_results(run)
    write_config(run, options, device, sparse_engine=engine_name(engine))

    first_step = max((state.epoch - 1) * len(train_loader) + state.iteration, state.epoch)
    try:
        with ScalarLog(run / "tensorboard", first_step) as log:
            epochs = range(options.num_epoch + 1)
            for epoch in Progress(epochs[state.epoch :], "training", options.disp_iter):
                summary = None
                if epoch:
                    set_learning_rates(optimizer, options.lr_steps, epoch)
                    train_epoch(model, train_loader, optimizer, keeper, log, options)
                    keeper.save()  # the evaluation may take long
                if epoch % options.eval_epoch == 0 or epoch == options.num_epoch:
                    summary = evaluate(model, val_loader, run, options, epoch=epoch)
                    names = ("loss", *SCORES, "sdr_improvement", "si_sdr_improvement")
                    log.add(epoch, {f"val/{name}": summary[name] for name in names})
                    say(f"epoch {epoch}\n{format_summary(summary)}")
                state.finish_epoch(summary)
                keeper.save()
                if summary:
                    write_run_page(run)
    except Stopped:
        keeper.save()
        say(f"{run}: saved in epoch {state.epoch}; the same command with --resume 1 goes on from there")
        raise
    finally:
        if skipped.files:
            say(skipped.report())


def train_epoch(
    model: SeparationNet,
    loader: BatchLoader,
    optimizer: torch.optim.Optimizer,
    keeper: RunKeeper,
    log: ScalarLog,
    options: argparse.Namespace,
) -> None:
    """One pass over the training mixtures, or the rest of it; `keeper.state` counts their losses."""
    model.train()
    device, state = next(model.parameters()).device, keeper.state
    loader.set_epoch(state.epoch, start=state.iteration)
    label = f"epoch {state.epoch}/{options.num_epoch}"
    progress = Progress(loader, label, options.disp_iter, done=state.iteration)
    for batch in progress:
        iteration = (state.epoch - 1) * len(loader) + loader.done - 1
        batch = batch.to(device)
        optimizer.zero_grad(set_to_none=True)
        loss = model(batch.mixture, batch.clouds, batch.sources).loss
        loss.backward()
        value = loss.item()
        if not math.isfinite(value):
            made_of = " ".join(batch.paths())
            raise InputError(f"iteration {iteration}: the loss is {value}; {keeper.last_good()}; samples: {made_of}")
        optimizer.step()
        if iteration % options.disp_iter == 0 or len(loader) < options.disp_iter:
            rates = {f"lr/{group['name']}": group["lr"] for group in optimizer.param_groups}
            log.add(iteration, {"train/loss": value, **rates})
        state.add_batch(value, len(batch), loader.done)
        progress.note = f"loss {state.loss.value:.4f}"
        if options.save_iter and (iteration + 1) % options.save_iter == 0:
            keeper.save()
    if not state.loss_count:
        raise InputError(f"epoch {state.epoch}: not one batch of {options.list_train} could be read")


def evaluate(model: SeparationNet, loader: BatchLoader, run: Path, options: argparse.Namespace, **about) -> dict:
    """Separates and scores every mixture of the list, writes the results into `run` and returns their summary."""
    with replacing_visuals(run) as visuals:
        table = separate_and_score(model, loader, visuals, options)
    settings = ("list_val", "eval_list", "seed", "num_mix", "num_frames", "audLen", "log_freq", "bss_eval")
    table.write(run, **{name: getattr(options, name) for name in settings}, **about)
    return table.summary()


@torch.no_grad()
def separate_and_score(
    model: SeparationNet, loader: BatchLoader, visuals: Path, options: argparse.Namespace
) -> EvaluationTable:
    """The scores of every mixture; the first `num_vis` are drawn, each in a folder of `visuals`."""
    model.eval()
    device = next(model.parameters()).device
    table = EvaluationTable()
    progress = Progress(loader, "evaluation", options.disp_iter)
    for batch in progress:
        batch = batch.to(device)
        result = model(batch.mixture, batch.clouds, batch.sources)
        estimates = model.apply_masks(result.spectrum, result.masks)  # [N, B, L']
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
                write_visuals(folder, model, result, b, draws, *waves, options.audRate)
    table.left_out = loader.left_out
    return table


def write_visuals(
    folder: Path,
    model: SeparationNet,
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
    if model.binary_mask:
        masks = (masks > model.mask_thres).astype(masks.dtype)
    waves, magnitudes = {"mix": mixture}, {"mix": magnitude}
    pictures, clouds = {"weight": result.weight[b, 0].cpu().numpy() / result.weight[b].max().item()}, {}
    for n, draw in enumerate(draws):
        waves |= {f"gt{n + 1}": sources[n], f"pred{n + 1}": estimates[n]}
        magnitudes |= {f"gtamp{n + 1}": targets[n] * magnitude, f"predamp{n + 1}": masks[n] * magnitude}
        pictures |= {f"gtmask{n + 1}": targets[n], f"predmask{n + 1}": masks[n]}
        clouds |= {f"point{n + 1}_frame{k}": draw.row.frame_path(f) for k, f in enumerate(draw.frames, 1)}
    write_separation(folder, rate_hz, waves, magnitudes, pictures, clouds)


def evaluate_run(options: argparse.Namespace, run: Path, stop: StopSignals) -> None:
    """Evaluates the best weights of `ckpt/<id>/` on the list `list_val`."""
    finish_outputs(run)
    device = choose_device(options.device)
    weights = {name: getattr(options, name) or path for name, path in weights_of(run).items()}
    vars(options).update(weights)
    engine = choose_engine(options.sparse_backend, device)
    say(f"sparse engine: {engine_name(engine)}")
    model = build_separation_net(options, engine).to(device)
    skipped = Skipped(options.skip_bad_samples)
    loader = build_loader(options, training=False, device=device, skipped=skipped, check=stop.check)
    summary = evaluate(model, loader, run, options, weights=list(weights.values()))
    print(f"{run} on {options.eval_list or options.list_val}\n{format_summary(summary)}")
    print(f"to see and hear it: {write_run_page(run)}")
    if skipped.files:
        print(skipped.report())


def build_loader(options: argparse.Namespace, training: bool, device: torch.device, **settings) -> BatchLoader:
    """The mixtures of the training or the validation list; `settings` go to the `BatchLoader`."""
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
        smallest=2 if training and options.num_frames == 1 else 1,  # clouds that batch normalisation needs
        **settings,
    )


def without_weights(options: argparse.Namespace) -> argparse.Namespace:
    """The options of a run that goes on: it needs the weights it began with no more."""
    return argparse.Namespace(**{**vars(options), **{f"weights_{net}": "" for net in NETS}})


def start_vision(model: SeparationNet, options: argparse.Namespace) -> None:
    """Starts the vision trunk from the pretrained classifier, unless weights were given."""
    if options.weights_vision:
        return
    if Path(options.pretrained_vision).exists():
        start_from_classifier(model.vision, options.pretrained_vision)
        say(f"vision trunk starts from {options.pretrained_vision}")
    else:
        say(f"no {options.pretrained_vision}: the vision trunk starts from random weights and learns far more slowly")


if __name__ == "__main__":
    run_command(main)
