"""Trains and evaluates source separation conditioned on point clouds: `python main.py --help` lists the options."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

import torch

from arguments import (
    MAY_CHANGE,
    NETS,
    SEPARATION_OPTIONS,
    check_resumed,
    choose_device,
    find_run,
    parse_arguments,
    weights_of,
)
from dataset.eval_list import read_eval_list
from dataset.index import read_index
from dataset.loader import BatchLoader
from dataset.music import MUSICMixDataset
from dataset.points import read_cloud
from evaluation import EVALUATED_ON, evaluate
from models import SeparationNet, build_separation_net, start_from_classifier
from models.backend import choose_engine, engine_name
from reports.run_page import write_run_page
from utils.errors import InputError, run_command
from utils.files import remove_leftovers
from utils.lock import locked
from utils.optimizer import build_optimizer, set_learning_rates
from utils.progress import Progress, say
from utils.results import format_summary, remove_results, write_config
from utils.run_state import RunKeeper, RunState, best_epoch, finish_outputs, note_lists, read_last
from utils.seeding import seed_everything
from utils.signals import Stopped, StopSignals
from utils.skipped import Skipped
from utils.tensorboard_log import METRICS, TensorBoardLog


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
    if options.arch_vision == "label" and not options.instruments:
        options.instruments = sorted({row.instrument for row in read_index(options.list_train)})
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
        with TensorBoardLog(run / "tensorboard" if options.tensorboard else None, first_step) as log:
            decisive = {name: value for name, value in vars(options).items() if name not in MAY_CHANGE}
            log.add_options(decisive, METRICS)
            epochs = range(options.num_epoch + 1)
            for epoch in Progress(epochs[state.epoch :], "training", options.disp_iter):
                summary = None
                if epoch:
                    set_learning_rates(optimizer, options.lr_steps, epoch)
                    train_epoch(model, train_loader, optimizer, keeper, log, options)
                    keeper.save()  # the evaluation may take long
                if epoch % options.eval_epoch == 0 or epoch == options.num_epoch:
                    summary, shown = evaluate(model, val_loader, run, options, epoch=epoch)
                    say(f"epoch {epoch}\n{format_summary(summary)}")
                state.finish_epoch(summary)
                if summary:
                    log.add_evaluation(epoch, summary, shown, read_cloud)
                    log.add_scores(epoch, "best", state.best_scores())
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
    log: TensorBoardLog,
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
    epoch = best_epoch(run) if weights == weights_of(run) else 0
    summary, shown = evaluate(model, loader, run, options, weights=list(weights.values()))
    print(f"{run} on {options.eval_list or options.list_val}\n{format_summary(summary)}")
    print(f"to see and hear it: {write_run_page(run)}")
    if skipped.files:
        print(skipped.report())
    with TensorBoardLog(run / "tensorboard" / "eval" if options.tensorboard else None) as log:
        log.add_options({name: getattr(options, name) for name in (*SEPARATION_OPTIONS, *EVALUATED_ON)})
        log.add_evaluation(epoch, summary, shown, read_cloud)


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
        instruments=options.instruments,
        distinct=bool(options.distinct),
        with_absent=bool(options.conditioning_report) and not training,
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
    """Starts the vision trunk, where there is one, from the pretrained classifier, unless weights were given."""
    if options.weights_vision or options.arch_vision == "label":
        return
    if Path(options.pretrained_vision).exists():
        start_from_classifier(model.vision, options.pretrained_vision)
        say(f"vision trunk starts from {options.pretrained_vision}")
    else:
        say(f"no {options.pretrained_vision}: the vision trunk starts from random weights and learns far more slowly")


if __name__ == "__main__":
    run_command(main)
