"""Trains and evaluates source separation conditioned on point clouds: `python main.py --help` lists the options."""

from __future__ import annotations

import signal

# Ctrl-C while libraries load, in a worker too, ends without a traceback.
if __name__ in ("__main__", "__mp_main__") and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch

from arguments import SEPARATION_OPTIONS, choose_device, parse_arguments
from dataset.eval_list import read_eval_list
from dataset.index import read_index
from dataset.loader import BatchLoader
from dataset.music import MUSICMixDataset
from dataset.points import read_cloud
from dataset.skipped import Skipped
from evaluation import EVALUATED_ON, evaluate
from models import SeparationNet, build_separation_net, start_from_classifier
from models.backend import choose_engine, engine_name
from reports.run_page import write_run_page
from runs.folder import MAY_CHANGE, NETS, check_resumed, find_run, weights_of
from runs.lock import locked
from runs.results import remove_results, write_config
from runs.state import RunKeeper, RunState, best_epoch, finish_outputs, note_lists, read_last
from runs.table import format_summary
from runs.tensorboard_log import METRICS, TensorBoardLog
from training import Trainer
from utils.distributed import (
    LostProcessError,
    everyones,
    from_main,
    is_launched,
    is_main,
    is_restart,
    joined,
    main_only,
    run_to_end,
    wait_for_all,
    world_size,
)
from utils.errors import InputError, run_command
from utils.files import is_there, remove_leftovers
from utils.launch import launch
from utils.optimizer import set_learning_rates
from utils.parallel import usable_cores
from utils.precision import prepare_cublas
from utils.progress import Progress, say
from utils.seeding import seed_everything
from utils.signals import Stopped, StopSignals

SECONDS_FOR_OTHERS = 3.0  # in which the launcher ends a process, if another one has told what is wrong


def main() -> int | None:
    with StopSignals() as stop:
        try:
            return obey(stop)
        except Stopped as stopped:
            say(f"stopped by {stopped}")
            return 128 + stopped.number
        except InputError as error:
            others_tell = is_launched() and (not is_main() or isinstance(error, LostProcessError))
            if not (others_tell and stop.wait(SECONDS_FOR_OTHERS)):
                raise
            return 128 + stop.number


def obey(stop: StopSignals) -> int | None:
    """Does what the command line says, in this process or several -> exit code."""
    options = parse_arguments()
    device = choose_device(options.device)
    if options.num_gpus > 1 and not is_launched():
        check_devices(options, device)
        return launch(__file__, sys.argv[1:], options.num_gpus)
    seed_everything(options.seed)
    if options.deterministic:
        prepare_cublas()
    with joined(device.type):
        options.num_gpus = world_size()
        run = find_run(options)
        with locked(run) if is_main() else nullcontext():
            work = train if options.mode == "train" else evaluate_run
            work(options, run, device, stop)
    return None


def check_devices(options: argparse.Namespace, device: torch.device) -> None:
    """Refuses `--num_gpus` processes where there are not as many GPUs, unless the CPU is asked for by name.

    Raises:
        InputError: it says how many there are.
    """
    found = torch.cuda.device_count() if device.type == "cuda" else 0
    if options.num_gpus > found and options.device != "cpu":
        raise InputError(
            f"--num_gpus {options.num_gpus}: PyTorch finds {found} here; --device cpu works with as many processes "
            "on the CPU"
        )


def train(options: argparse.Namespace, run: Path, device: torch.device, stop: StopSignals) -> None:
    """Trains a run into its folder, from its beginning or from where it stopped.

    It is evaluated before the first epoch, after every `eval_epoch` and after the last. Several processes do all this
    in step; the first one writes the files.
    """
    resume = bool(options.resume) or any(everyones(is_restart()))
    last = read_last(run, resume, bool(options.overwrite) and not resume)
    wait_for_all()  # before the first of them writes to the folder
    prepare(run)
    if options.arch_vision == "label" and not options.instruments:
        options.instruments = sorted({row.instrument for row in read_index(options.list_train)})
    state = RunState()
    if last:
        check_resumed(last, options)
        finish_outputs(run)
        if is_main() and (run / "metrics.json").exists():
            write_page(run)
        state = RunState(**last["state"])
        if state.epoch > options.num_epoch:
            say(f"{run}: finished, epoch {state.epoch - 1} of {options.num_epoch}; a higher --num_epoch resumes it")
            return
    skipped = Skipped(options.skip_bad_samples, state.skipped)
    train_loader = build_loader(options, training=True, device=device, skipped=skipped, stop=stop)
    val_loader = build_loader(options, training=False, device=device, skipped=skipped, stop=stop)
    state.set_batch_size(train_loader.sampler.round_size)
    note_lists(state, options)
    engine = choose_engine(from_main(engine_name(choose_engine(options.sparse_backend, device))), device)
    model = build_separation_net(options if last is None else without_weights(options), engine, device)
    if last is None:
        say(f"{run}: a new run begins")
        start_vision(model, options)
    trainer = Trainer(model, options)
    nets = {net: getattr(model, net) for net in NETS}
    keeper = RunKeeper(run, vars(options), state, nets, trainer.optimizer, trainer.scaler)
    say(f"run {run}, {describe_devices(device)}, {sum(p.numel() for p in model.parameters()):,} parameters")
    say(f"{len(train_loader)} iterations an epoch, {val_loader.sampler.length} validation mixtures")
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
    describe = partial(write_config, run, options, device, sparse_engine=engine_name(engine))
    describe()

    first_step = max((state.epoch - 1) * len(train_loader) + state.iteration, state.epoch)
    try:
        with TensorBoardLog(run / "tensorboard" if options.tensorboard and is_main() else None, first_step) as log:
            decisive = {name: value for name, value in vars(options).items() if name not in MAY_CHANGE}
            log.add_options(decisive, METRICS)
            epochs = range(options.num_epoch + 1)
            for epoch in Progress(epochs[state.epoch :], "training", options.disp_iter):
                summary = None
                if epoch:
                    set_learning_rates(trainer.optimizer, options.lr_steps, epoch)
                    trainer.train_epoch(train_loader, keeper, log)
                    keeper.save()  # the evaluation may take long
                if epoch % options.eval_epoch == 0 or epoch == options.num_epoch:
                    summary, shown = evaluate(model, val_loader, run, options, epoch=epoch)
                    say(f"epoch {epoch}\n{format_summary(summary)}")
                state.finish_epoch(summary)
                if summary:
                    log.add_evaluation(epoch, summary, shown, read_cloud)
                    log.add_scores(epoch, "best", state.best_scores())
                keeper.save()
                if is_main() and not (run / "config.json").exists():
                    say(f"{run}: the folder was emptied while the run was trained; what it needs is written again")
                    describe()
                if summary and is_main():
                    write_page(run)
    except Stopped:
        keeper.save()
        say(f"{run}: saved in epoch {state.epoch}; the same command with --resume 1 goes on from there")
        wait_for_all()  # a process that ends makes the launcher end the others, which may be saving
        raise
    finally:
        if skipped.files:
            say(skipped.report())


def write_page(run: Path) -> None:
    """Writes the page of a run in training, which goes on without one if that fails."""
    try:
        write_run_page(run)
    except InputError as error:
        say(f"note: no page of this evaluation: {error}")


def describe_devices(device: torch.device) -> str:
    """`cuda`, or `8 processes on cuda`."""
    return f"{world_size()} processes on {device}" if world_size() > 1 else str(device)


@main_only
def prepare(run: Path) -> None:
    """Removes what an earlier process left half-written."""
    remove_leftovers(run)


def evaluate_run(options: argparse.Namespace, run: Path, device: torch.device, stop: StopSignals) -> None:
    """Evaluates the best weights of `ckpt/<id>/` on the list `list_val`."""
    prepare(run)
    finish_outputs(run)
    wait_for_all()  # for the weights to be there
    weights = {name: getattr(options, name) or path for name, path in weights_of(run).items()}
    vars(options).update(weights)
    engine = choose_engine(from_main(engine_name(choose_engine(options.sparse_backend, device))), device)
    say(f"sparse engine: {engine_name(engine)}")
    model = build_separation_net(options, engine, device)
    skipped = Skipped(options.skip_bad_samples)
    loader = build_loader(options, training=False, device=device, skipped=skipped, stop=stop)
    epoch = best_epoch(run) if weights == weights_of(run) else 0
    summary, shown = evaluate(model, loader, run, options, weights=list(weights.values()))
    if not is_main():
        return
    print(f"{run} on {options.eval_list or options.list_val}\n{format_summary(summary)}")
    print(f"to see and hear it: {write_run_page(run)}")
    if skipped.files:
        print(skipped.report())
    with TensorBoardLog(run / "tensorboard" / "eval" if options.tensorboard else None) as log:
        log.add_options({name: getattr(options, name) for name in (*SEPARATION_OPTIONS, *EVALUATED_ON)})
        log.add_evaluation(epoch, summary, shown, read_cloud)


def build_loader(
    options: argparse.Namespace, training: bool, device: torch.device, skipped: Skipped, stop: StopSignals
) -> BatchLoader:
    """The mixtures of the training or the validation list, or this process's share of them."""
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
        workers=min(options.workers, usable_cores()),
        pin_memory=device.type == "cuda",
        smallest=2 if training else 1,  # clouds of a source and frame, which batch normalisation sees together
        skipped=skipped,
        check=stop.check,
    )


def without_weights(options: argparse.Namespace) -> argparse.Namespace:
    """The options for resuming, without weights_*: last.pth has them."""
    return argparse.Namespace(**{**vars(options), **{f"weights_{net}": "" for net in NETS}})


def start_vision(model: SeparationNet, options: argparse.Namespace) -> None:
    """Starts the vision trunk, where there is one, from the pretrained classifier, unless weights were given."""
    if options.weights_vision or options.arch_vision == "label":
        return
    if is_there(Path(options.pretrained_vision)):
        start_from_classifier(model.vision, options.pretrained_vision)
        say(f"vision trunk starts from {options.pretrained_vision}")
    else:
        say(f"no {options.pretrained_vision}: the vision trunk starts from random weights and learns far more slowly")


if __name__ == "__main__":
    run_to_end(lambda: run_command(main))
