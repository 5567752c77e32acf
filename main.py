"""Trains and evaluates source separation conditioned on point clouds: `python main.py --help` lists the options."""

from __future__ import annotations

from utils.start import start_command

start_command(__name__)

import argparse
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import torch

from arguments import SEPARATION_OPTIONS, choose_device, parse_arguments
from dataset.index import read_index
from dataset.loader import BatchLoader
from dataset.points import read_cloud
from dataset.skipped import Skipped
from evaluation import EVALUATED_ON, evaluate
from from_options import (
    build_loader,
    changed,
    computing_of,
    evaluated_list,
    model_of,
    run_name,
    weights_of,
)
from models import SeparationNet, build_separation_net
from models.backend import choose_engine, engine_name
from reports.run_page import write_run_page
from runs.folder import (
    MAY_CHANGE,
    NETS,
    best_weights,
    check_resumed,
    run_to_evaluate,
    run_to_train,
)
from runs.lock import locked
from runs.results import remove_results, write_config
from runs.state import RunKeeper, RunState, best_epoch, finish_outputs, note_lists, read_last
from runs.table import format_summary
from runs.tensorboard_log import CURVE_TAGS, TensorBoardLog
from starting_weights import start
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
from utils.files import remove_leftovers
from utils.launch import launch
from utils.precision import prepare_cublas
from utils.progress import Progress, say
from utils.seeding import seed_everything
from utils.signals import Stopped, StopSignals

# What `python` runs this by; -P: no module of the current folder takes the place of an installed one.
MYSELF = ["-P", "-m", f"{__package__}.main"] if __package__ else [__file__]
SECONDS_FOR_OTHERS = 3.0  # in which the launcher ends a process if another one has said what is wrong


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
        return launch([*MYSELF, *sys.argv[1:]], options.num_gpus)
    seed_everything(options.seed)
    if options.deterministic:
        prepare_cublas()
    with joined(device.type):
        options = changed(options, num_gpus=world_size())
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
            f"--num_gpus {options.num_gpus}: PyTorch finds {found} here; --device cpu runs that many processes "
            "on the CPU"
        )


def find_run(options: argparse.Namespace) -> Path:
    """The folder of the run to train or evaluate; raises InputError as `runs.folder.run_to_evaluate`."""
    ckpt = Path(options.ckpt)
    if options.mode == "eval":
        return run_to_evaluate(ckpt, options.id, has_weights=all(weights_of(options).values()))
    return run_to_train(ckpt, run_name(options), has_id=bool(options.id), resume=bool(options.resume))


@dataclass
class Training:
    """A run in training: what it is made of, on its device.

    skipped: the unreadable files that it has skipped. describe: writes its `config.json`.
    """

    options: argparse.Namespace
    run: Path
    device: torch.device
    engine: str
    train_loader: BatchLoader
    val_loader: BatchLoader
    skipped: Skipped
    trainer: Trainer
    keeper: RunKeeper
    describe: Callable[[], None]

    @property
    def model(self) -> SeparationNet:
        return self.trainer.model

    @property
    def state(self) -> RunState:
        return self.keeper.state


def train(options: argparse.Namespace, run: Path, device: torch.device, stop: StopSignals) -> None:
    """Trains a run into its folder, from its beginning or from where it stopped.

    It is evaluated before the first epoch, after every `eval_epoch` and after the last. Several processes do all this
    in step; the first one writes the files.
    """
    last = open_run(options, run)
    if options.arch_vision == "label" and not options.instruments:
        options = changed(options, instruments=sorted({row.instrument for row in read_index(options.list_train)}))
    training = resume(last, options, run, device, stop) if last else begin(options, run, device, stop)
    if training is None:
        return
    if not training.state.epoch:
        remove_results(run)
    announce(training)
    training.describe()
    folder = run / "tensorboard" if options.tensorboard and is_main() else None
    try:
        with TensorBoardLog(folder, first_step(training)) as log:
            run_epochs(training, log)
    except Stopped:
        training.keeper.save()
        say(f"{run}: saved in epoch {training.state.epoch}; the same command with --resume 1 resumes it")
        wait_for_all()  # a process that ends makes the launcher end the others, which may be saving
        raise
    finally:
        if training.skipped.files:
            say(training.skipped.report())


def open_run(options: argparse.Namespace, run: Path) -> dict | None:
    """The content of the run's `last.pth` to resume from; None for a new run. Removes half-written files.

    Raises:
        InputError: as `runs.state.read_last`.
    """
    resume = bool(options.resume) or any(everyones(is_restart()))
    last = read_last(run, resume, bool(options.overwrite) and not resume)
    wait_for_all()  # before the first of them writes to the folder
    prepare(run)
    return last


def begin(options: argparse.Namespace, run: Path, device: torch.device, stop: StopSignals) -> Training:
    """A run with new weights, or those that the options name."""
    say(f"{run}: a new run begins")
    training = build(options, run, device, RunState(), stop, is_new=True)
    training.keeper.save()
    return training


def resume(
    last: dict, options: argparse.Namespace, run: Path, device: torch.device, stop: StopSignals
) -> Training | None:
    """The run as its `last.pth` holds it; None if it is finished.

    Raises:
        InputError: it was begun with other options, or the file is damaged.
    """
    check_resumed(last, vars(options))
    finish_outputs(run)
    if is_main() and (run / "metrics.json").exists():
        write_page(run)
    state = RunState(**last["state"])
    if state.epoch > options.num_epoch:
        say(f"{run}: finished, epoch {state.epoch - 1} of {options.num_epoch}; a higher --num_epoch resumes it")
        return None
    training = build(options, run, device, state, stop, is_new=False)
    training.keeper.restore(last)
    say(f"resumes epoch {state.epoch} after {state.iteration} of its iterations")
    return training


def build(
    options: argparse.Namespace,
    run: Path,
    device: torch.device,
    state: RunState,
    stop: StopSignals,
    is_new: bool,
) -> Training:
    """Everything that trains a run; a new one starts from the weights that the options name."""
    skipped = Skipped(options.skip_bad_samples, state.skipped)
    loaders = [build_loader(options, training, device, skipped, stop) for training in (True, False)]
    state.set_batch_size(loaders[0].sampler.round_size)
    note_lists(state, list_train=options.list_train, **evaluated_list(options))
    engine = common_engine(options, device)
    weights = weights_of(options) if is_new else {}
    model = build_separation_net(model_of(options), weights, computing_of(options), engine, device)
    if is_new:
        start(model, options)
    trainer = Trainer(model, options)
    nets = {net: getattr(trainer.model, net) for net in NETS}
    keeper = RunKeeper(run, vars(options), state, nets, trainer.optimizer, trainer.scaler)
    describe = partial(write_config, run, vars(options), device, sparse_engine=engine_name(engine))
    return Training(options, run, device, engine_name(engine), *loaders, skipped, trainer, keeper, describe)


def announce(training: Training) -> None:
    """Says what is trained, on what."""
    options, parameters = training.options, sum(p.numel() for p in training.model.parameters())
    say(f"run {training.run}, {describe_devices(training.device)}, {parameters:,} parameters")
    say(f"{len(training.train_loader)} iterations an epoch, {training.val_loader.sampler.length} validation mixtures")
    span = (options.num_frames - 1) * options.stride_frames / options.frameRate
    say(f"{options.num_frames} point-cloud frame(s) of each source, {span:.2f} s from first to last")
    say(f"sparse engine: {training.engine}")


def first_step(training: Training) -> int:
    """The step of TensorBoard's log from which this process writes it."""
    state = training.state
    return max((state.epoch - 1) * len(training.train_loader) + state.iteration, state.epoch)


def run_epochs(training: Training, log: TensorBoardLog) -> None:
    """Trains and evaluates from the epoch in progress to the last."""
    options, state = training.options, training.state
    log.add_options({name: value for name, value in vars(options).items() if name not in MAY_CHANGE}, CURVE_TAGS)
    epochs = range(options.num_epoch + 1)
    for epoch in Progress(epochs[state.epoch :], "training", options.disp_iter):
        if epoch:
            training.trainer.train_epoch(training.train_loader, training.keeper, log)
            training.keeper.save()  # the evaluation may take long
        if epoch % options.eval_epoch == 0 or epoch == options.num_epoch:
            evaluate_epoch(training, log)
        else:
            state.finish_epoch(None)
            save(training)


def evaluate_epoch(training: Training, log: TensorBoardLog) -> None:
    """Evaluates the model, saves the run with its scores, and shows them."""
    run, state, epoch = training.run, training.state, training.state.epoch
    summary, shown = evaluate(training.model, training.val_loader, run, training.options, epoch=epoch)
    say(f"epoch {epoch}\n{format_summary(summary)}")
    state.finish_epoch(summary)
    log.add_evaluation(epoch, summary, shown, read_cloud)
    log.add_scores(epoch, "best", state.best_scores())
    save(training)
    if is_main():
        write_page(run)


def save(training: Training) -> None:
    """Saves the run between epochs, and its configuration again where someone has removed it."""
    training.keeper.save()
    if is_main() and not (training.run / "config.json").exists():
        say(f"{training.run}: the folder was emptied during training; its files are being written again")
        training.describe()


def write_page(run: Path) -> None:
    """Writes the page of a run in training, which continues without one if that fails."""
    try:
        write_run_page(run)
    except InputError as error:
        say(f"note: no page of this evaluation: {error}")


def describe_devices(device: torch.device) -> str:
    """`cuda`, or `8 processes on cuda`."""
    return f"{world_size()} processes on {device}" if world_size() > 1 else str(device)


def common_engine(options: argparse.Namespace, device: torch.device) -> ModuleType:
    """The sparse engine of `--sparse_backend`; the first process chooses for all. A race decides nothing that must be
    the same next time."""
    name = "builtin" if options.deterministic and options.sparse_backend == "auto" else options.sparse_backend
    return choose_engine(from_main(engine_name(choose_engine(name, device))), device)


@main_only
def prepare(run: Path) -> None:
    """Removes what an earlier process left half-written."""
    remove_leftovers(run)


def evaluate_run(options: argparse.Namespace, run: Path, device: torch.device, stop: StopSignals) -> None:
    """Evaluates the best weights of `ckpt/<id>/`, or those that the options name, on the list `list_val`."""
    prepare(run)
    finish_outputs(run)
    wait_for_all()  # for the weights to be there
    best = best_weights(run)
    weights = {net: path or best[net] for net, path in weights_of(options).items()}
    engine = common_engine(options, device)
    say(f"sparse engine: {engine_name(engine)}")
    model = build_separation_net(model_of(options), weights, computing_of(options), engine, device)
    skipped = Skipped(options.skip_bad_samples)
    loader = build_loader(options, training=False, device=device, skipped=skipped, stop=stop)
    epoch = best_epoch(run) if weights == best else 0
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


if __name__ == "__main__":
    run_to_end(lambda: run_command(main))
