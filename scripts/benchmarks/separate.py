"""Separation of recordings with the default model: times real time, the cost of more sources, and peak memory."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from demo_data import bodies, voices

from arguments import choose_device, parse_arguments
from benchmarks.timing import time_in_turn
from dataset.points import ply_bytes, read_cloud
from from_options import build_model
from runs.folder import NETS
from separation import PortableSeparator, Separator
from separation.onnx_export import export_onnx
from separation.stream import Waveform
from utils import checkpoint
from utils.errors import InputError
from utils.files import write_json
from utils.leftovers import scratch
from utils.seeding import generator

RATE_HZ, CHANNELS = 44_100, 2
SECONDS = 60  # length of the recording that is timed
MINUTES = (2, 60)  # lengths of the recordings whose memory is measured
INSTRUMENTS = ("cello", "violin", "guitar")
SCRIPT = Path(__file__).resolve().parent.parent / "separate.py"


def benchmark_separate(options: argparse.Namespace) -> dict:
    """Seconds of one and of three sources, the share outside the U-Net, and the memory of a short and a long file."""
    device = choose_device(options.device)
    print(
        f"separation with the default model (random weights), {CHANNELS} channels at {RATE_HZ} Hz, {device}, "
        f"{torch.get_num_threads()} threads, medians of {options.pairs} rounds"
    )
    with scratch("benchmark") as folder:
        run, clouds = write_run(folder), write_clouds(folder)
        figures = measure_speed(Separator.from_run(run, options.device), clouds, options.pairs, device)
        figures["onnx"] = measure_onnx(run, clouds[:2], options.pairs)
        figures["memory"] = [measure_memory(run, clouds[:2], minutes, options.device) for minutes in MINUTES]
    short, long = figures["memory"]
    figures["memory_ratio"] = long["peak_mib"] / short["peak_mib"]
    print(f"peak memory of the hour / of two minutes: {figures['memory_ratio']:.2f}")
    return figures


def measure_speed(separator: Separator, clouds: list[Path], rounds: int, device: torch.device) -> dict:
    """Seconds of a recording in memory by the number of sources, and how long the U-Net was at work in them."""
    wave = voices.recording("violin", SECONDS, generator(0))
    blocks = Waveform(np.stack([wave, 0.5 * wave]), voices.SAMPLE_RATE_HZ)
    mixture = blocks.read(0, blocks.length_at(RATE_HZ), RATE_HZ)
    seen = [read_cloud(str(path)) for path in clouds]
    at_work = {1: [], 3: []}
    steps = [lambda n=n: at_work[n].append(seconds_of_unet(separator, mixture, seen[:n], device)) for n in at_work]
    taken = dict(zip(at_work, time_in_turn(steps, rounds, device), strict=True))
    print(f"{'sources':<9}{'s':>8}{'times real time':>17}{'outside the U-Net':>19}")
    rows = []
    for n, seconds in taken.items():
        outside = statistics.median(1 - unet / s for unet, s in zip(at_work[n][1::2], seconds, strict=True))
        median = statistics.median(seconds)
        rows.append({"sources": n, "seconds": median, "times_real_time": SECONDS / median, "outside_unet": outside})
        print(f"{n:<9}{median:8.2f}{SECONDS / median:17.1f}{outside:19.1%}")
    ratio = statistics.median(three / one for one, three in zip(taken[1], taken[3], strict=True))
    print(f"three sources / one: {ratio:.2f}")
    return {"device": str(device), "threads": torch.get_num_threads(), "speed": rows, "three_to_one": ratio}


def measure_onnx(run: Path, clouds: list[Path], rounds: int) -> dict | None:
    """Seconds of two sources by PyTorch and by onnxruntime, on the CPU, in turn; None where ONNX is not installed."""
    separator, folder = Separator.from_run(run, "cpu"), run.parent
    seen = {path.stem: read_cloud(str(path)) for path in clouds}
    try:
        export_onnx(separator, folder, seen)
        portable = PortableSeparator(folder)
    except InputError as error:
        print(f"onnxruntime: not measured ({error})")
        return None
    wave = voices.recording("violin", SECONDS, generator(0))[None]
    steps = [
        lambda: separator.separate(wave, voices.SAMPLE_RATE_HZ, list(seen.values())),
        lambda: portable.separate(wave, voices.SAMPLE_RATE_HZ, list(seen)),
    ]
    taken = time_in_turn(steps, rounds, torch.device("cpu"))
    ratio = statistics.median(onnx / ours for ours, onnx in zip(*taken, strict=True))
    ours, onnx = map(statistics.median, taken)
    print(
        f"one channel, two sources, on the CPU: PyTorch {ours:.2f} s, onnxruntime {onnx:.2f} s: {ratio:.2f} of the time"
    )
    return {"pytorch_s": ours, "onnxruntime_s": onnx, "ratio": ratio}


def seconds_of_unet(separator: Separator, mixture: np.ndarray, clouds: list, device: torch.device) -> float:
    """Separates; how much of the time the U-Net took."""
    marks: list[float] = []

    def mark(*_: object) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        marks.append(time.perf_counter())

    net = separator.net.sound
    hooks = [net.register_forward_pre_hook(mark), net.register_forward_hook(mark)]
    separator.separate(mixture, RATE_HZ, clouds)
    for hook in hooks:
        hook.remove()
    return sum(marks[1::2]) - sum(marks[0::2])


def measure_memory(run: Path, clouds: list[Path], minutes: int, device: str) -> dict:
    """Peak memory and speed of the command on a file of some minutes."""
    mixture, output = run.parent / f"{minutes}.wav", run.parent / f"{minutes}"
    write_recording(mixture, minutes)
    command = [sys.executable, str(SCRIPT), "--mixture", str(mixture), "--run", str(run), "--output", str(output)]
    command += ["--device", device, "--points", *map(str, clouds)]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"separate.py failed on {minutes} minutes"
    seconds, peak = time.perf_counter() - start, usage.ru_maxrss / 1024
    for path in (mixture, *output.iterdir()):
        path.unlink()
    print(
        f"{minutes} min file, 2 sources: peak {peak:.0f} MiB, {60 * minutes / seconds:.1f} times real time with start"
    )
    return {"minutes": minutes, "peak_mib": peak, "seconds": seconds}


def write_recording(path: Path, minutes: int) -> None:
    """A 16-bit WAV file: a minute of music, again and again."""
    wave = voices.recording("cello", 60, generator(1))
    mono = Waveform(wave[None], voices.SAMPLE_RATE_HZ).read(0, 60 * RATE_HZ, RATE_HZ)[0]
    with soundfile.SoundFile(path, "w", RATE_HZ, CHANNELS, subtype="PCM_16") as file:
        for _ in range(minutes):
            file.write(np.stack([mono, 0.5 * mono], axis=1))


def write_run(folder: Path) -> Path:
    """A run's folder with the default model."""
    options = parse_arguments(["--id", "benchmark", "--rgbs_feature", "1"])
    net = build_model(options)
    for name in NETS:
        checkpoint.save(getattr(net, name).state_dict(), folder / "run" / f"{name}_best.pth")
    write_json(folder / "run" / "config.json", {"options": vars(options)})
    return folder / "run"


def write_clouds(folder: Path) -> list[Path]:
    """PLY files of three musicians."""
    paths = []
    for number, instrument in enumerate(INSTRUMENTS):
        rng = generator(2, number)
        path = folder / f"{instrument}.ply"
        path.write_bytes(ply_bytes(*bodies.cloud(bodies.draw_performer(instrument, rng), 0, rng)))
        paths.append(path)
    return paths
