"""What a large training would take, from what an iteration costs here.

    python scripts/benchmark.py step --json step.json
    python scripts/plan_run.py --step step.json --hours 1000 --performers 10000 --num_gpus 1 2 4 8 16

The first measures this machine's device; the second reckons with it and prints a table: a line for each number of
devices. All formulas are in `plan`, and printed with their numbers.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse
import math
from dataclasses import asdict, dataclass

from utils.errors import InputError, run_command
from utils.files import read_json
from utils.options import ArgumentParser, real, whole

FLOAT_BYTES = 4
CLOUD_BYTES = 200_000  # of a cached cloud of 14,000 points with colours
CHECKPOINT_COPIES = 4  # last.pth holds weights and momentum, latest and best weights lie beside it


@dataclass(frozen=True)
class Measured:
    """An iteration as `benchmark.py step` measured it, in seconds; of stages forward and backward together.

    batch: B. sources: N. voxels: of a cloud. fusion: with the loss. sample_cpu: one process, one sample.
    """

    batch: int
    sources: int
    frames: int
    voxels: float
    window_s: float
    parameters: int
    spectrogram: float
    vision: float
    sound: float
    fusion: float
    backward: float
    transfer: float
    optimiser: float
    sample_cpu: float
    audio_rate: int


def read_measured(path: Path) -> Measured:
    """Reads the JSON of `benchmark.py step`; raises InputError if it is none."""
    figures = read_json(path)
    try:
        stages = {name: sum(ways.values()) for name, ways in figures["stages_s"].items()}
        backward = sum(ways["backward"] for ways in figures["stages_s"].values())
        measured = Measured(
            batch=figures["batch_size"],
            sources=figures["num_mix"],
            frames=figures["num_frames"],
            voxels=figures["voxels"],
            window_s=figures["audLen"] / figures["audRate"],
            parameters=figures["parameters"],
            spectrogram=stages["spectrogram"],
            vision=stages["vision"],
            sound=stages["sound"],
            fusion=stages["fusion"] + stages["loss"],
            backward=backward,
            transfer=stages["transfer"],
            optimiser=stages["optimiser"],
            sample_cpu=figures["sample_cpu_s"],
            audio_rate=figures["audRate"],
        )
        for name, value in asdict(measured).items():
            is_time = name not in ("batch", "sources", "frames", "voxels", "window_s", "audio_rate")
            if not (math.isfinite(value) and (value > 0 or is_time and value == 0)):
                raise ValueError(f"{name} is {value}")
        return measured
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{path}: not what benchmark.py step --json writes ({error})") from error


@dataclass(frozen=True)
class Plan:
    """One number of devices. Times in seconds but `pass_hours`, of one pass over the audio; sizes in bytes."""

    devices: int
    step: float
    exchange: float
    samples_per_s: float
    steps_of_pass: float
    pass_hours: float
    workers: float


def compute_seconds(measured: Measured, options: argparse.Namespace) -> float:
    """Seconds that one device computes for a step.

    The U-Net goes with the mixtures of a batch; the vision net with the clouds and their voxels; fusion and loss with
    the sources; the spectrograms with the sources and the mixture; the optimiser with the step.
    """
    mixtures = options.batch_size_per_gpu / measured.batch
    sources = options.num_mix / measured.sources
    clouds = sources * options.num_frames / measured.frames
    of_mixtures = (
        measured.sound
        + measured.transfer
        + measured.vision * clouds * options.voxels / measured.voxels
        + measured.fusion * sources
        + measured.spectrogram * (options.num_mix + 1) / (measured.sources + 1)
    )
    return of_mixtures * mixtures + measured.optimiser


def plan(measured: Measured, options: argparse.Namespace, devices: int) -> Plan:
    """What training on so many devices takes.

    Gradients are summed in a ring: each device sends and receives 2 (G - 1) / G of their bytes. This happens while
    backward computes; what is longer than backward is waited for.
    """
    compute = compute_seconds(measured, options)
    exchange = 2 * (devices - 1) / devices * FLOAT_BYTES * measured.parameters / (options.link * 1e9)
    backward = measured.backward * options.batch_size_per_gpu / measured.batch
    step = compute + max(0.0, exchange - backward)
    samples = devices * options.batch_size_per_gpu
    windows = options.hours * 3600 / measured.window_s
    steps = windows / (samples * options.num_mix)  # which hear that many windows each
    workers = options.batch_size_per_gpu * measured.sample_cpu * options.num_mix / measured.sources / step
    return Plan(devices, step, exchange, samples / step, steps, steps * step / 3600, workers)


def storage(measured: Measured, options: argparse.Namespace) -> dict[str, float]:
    """Bytes that the cache and a run's weights take."""
    return {
        "recordings": options.hours * 3600 * measured.audio_rate * FLOAT_BYTES,
        "clouds": options.performers * options.frames * CLOUD_BYTES,
        "run": CHECKPOINT_COPIES * FLOAT_BYTES * measured.parameters,
    }


def print_plan(measured: Measured, options: argparse.Namespace) -> None:
    compute = compute_seconds(measured, options)
    print(
        f"{options.hours:g} h of audio, {options.performers:g} performers with {options.frames} frames each; "
        f"{options.num_mix} sources of {options.num_frames} frame(s), {options.voxels:.0f} voxels a cloud, "
        f"{options.batch_size_per_gpu} mixtures a device and step; one pass hears every {measured.window_s:.2f} s once"
    )
    print(
        f"a step computes {compute:.3f} s, from {measured.batch} mixtures: sound {measured.sound:.3f}, "
        f"vision {measured.vision:.3f} at {measured.voxels:.0f} voxels, spectrograms {measured.spectrogram:.3f}, "
        f"fusion and loss {measured.fusion:.3f}, and the optimiser {measured.optimiser:.3f} once a step\n"
    )
    columns = (("step s", 9), ("exchange s", 12), ("samples/s", 11), ("steps", 10), ("hours a pass", 14))
    print("devices" + "".join(f"{name:>{width}}" for name, width in columns) + f"{'workers each':>14}")
    for devices in options.num_gpus:
        one = plan(measured, options, devices)
        print(
            f"{devices:7}{one.step:9.3f}{one.exchange:12.3f}{one.samples_per_s:11.1f}{one.steps_of_pass:10.0f}"
            f"{one.pass_hours:14.1f}{one.workers:14.1f}"
        )
    sizes = storage(measured, options)
    print(
        f"\ncache: {sizes['recordings'] / 1e9:,.0f} GB of recordings and {sizes['clouds'] / 1e9:,.0f} GB of clouds; "
        f"a run: {sizes['run'] / 1e9:.1f} GB; all on storage that every node sees"
    )


def parse_arguments() -> argparse.Namespace:
    """The options, checked; raises InputError."""
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--step", type=Path, required=True, help="file that benchmark.py step --json wrote on such a device")
    add("--hours", type=real(0, exclusive=True), default=1000.0, help="of audio, all sources together (default: 1000)")
    add("--performers", type=whole(1), default=10_000, help="(default: 10000)")
    add("--frames", type=whole(1), default=100, help="point clouds of a performer (default: 100)")
    add("--num_gpus", type=whole(1), nargs="+", default=[1, 2, 4, 8, 16, 32], help="numbers of devices to plan for")
    add("--batch_size_per_gpu", type=whole(1), default=32, help="mixtures of a device and step (default: 32)")
    add("--num_mix", type=whole(2), default=2, help="sources of a mixture (default: 2)")
    add("--num_frames", type=whole(1), default=1, help="frames of a source (default: 1)")
    add("--voxels", type=real(1), help="of a cloud (default: as measured)")
    add("--link", type=real(0, exclusive=True), default=12.5, help="GB/s between devices (default: 12.5, 100 Gbit/s)")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    measured = read_measured(options.step)
    options.voxels = options.voxels or measured.voxels
    print_plan(measured, options)


if __name__ == "__main__":
    run_command(main)
