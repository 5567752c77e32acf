"""Kills and resumes a run at random moments, then compares it with an undisturbed one.

    python scripts/torture.py --kills 25

A tiny run is trained once without interruption. Then the same run is started with `--resume 1` and killed (SIGKILL)
at a random moment; every file of its folder must be whole; it is started again. Whenever a start gets to the end, its
weights, optimiser, random generators, history and scores must equal those of the first run bit for bit, and it begins
again in another folder until all kills are done. A line for each kill; exit code 0, or 1 if anything was wrong.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from utils.start import start_command

start_command(__name__)

import argparse
import csv
import json
import random
import shutil
import subprocess
import time
from collections.abc import Iterator

import numpy as np
import soundfile
import torch
from PIL import Image
from plyfile import PlyData, PlyElement

from dataset.index import IndexRow, write_index
from utils.errors import run_command
from utils.leftovers import scratch
from utils.options import ArgumentParser, whole

OPTIONS = [
    *("--id", "torture", "--device", "cpu", "--arch_sound", "unet5", "--ngf", "4", "--num_channels", "4"),
    *("--audLen", "8191", "--batch_size_per_gpu", "2", "--voxel_size", "0.1", "--num_epoch", "2", "--lr_steps", "1"),
    *("--dup_trainset", "1", "--num_val", "2", "--num_vis", "1", "--mask_thres", "0.1", "--disp_iter", "1"),
]
SOURCES = {"cello": 110.0, "saxophone": 220.0, "violin": 440.0}  # Hz
EARLY = 0.2  # share of the kills that fall before the first line of output, when nothing is computed yet


def main() -> int:
    options = parse_arguments()
    with scratch("torture") as folder:
        return torture(folder, options.kills, options.seed)


def torture(folder: Path, kills: int, seed: int) -> int:
    """Runs and kills in an empty folder -> 1 if anything was wrong, else 0."""
    rng = random.Random(seed)
    make_data(folder, np.random.default_rng(seed))
    reference, startup_s, work_s = train_undisturbed(folder)
    print(f"undisturbed: {startup_s:.1f} s until the first line, {work_s:.1f} s after it", flush=True)
    problems, finished, kill = [], 0, 0
    while kill < kills:
        ckpt = folder / f"round{finished}"
        process = start(folder, ckpt, workers=int(rng.random() < 0.3))
        moment = wait(process, rng, startup_s, work_s)
        process.kill()
        process.stdout.close()
        if process.wait() == 0:  # it had got to its end
            found, finished = differences(reference, run_of(ckpt)), finished + 1
            line = f"round {finished} finished after {kill} kills"
            shutil.rmtree(ckpt)
        else:
            kill += 1
            found = damages(ckpt) if process.returncode < 0 else [complaint(folder, process)]
            line = f"kill {kill} of {kills} {moment}"
        problems += found
        print(f"{line}: {'; '.join(found) or 'all well'}", flush=True)
    ckpt = folder / f"round{finished}"
    last = start(folder, ckpt, workers=0)
    last.communicate()
    if last.returncode:
        found = [complaint(folder, last)]
    else:
        found = differences(reference, run_of(ckpt))
        found += [f"{path.name} is left over" for path in ckpt.rglob(".*")]
    print(f"the last round: {'; '.join(found) or 'all well'}")
    problems += found
    print(f"{kills} kills, {finished + 1} runs brought to their end, {len(problems)} problem(s)")
    return int(bool(problems))


def make_data(folder: Path, rng: np.random.Generator) -> None:
    """Writes two recordings and two clouds of each of three instruments, and `list.csv`."""
    rate_hz, rows = 11025, []
    for instrument, pitch_hz in SOURCES.items():
        for k in range(2):
            audio, frames = (folder / kind / instrument for kind in ("audio", "frames"))
            audio.mkdir(parents=True, exist_ok=True)
            (frames / f"person_{k}").mkdir(parents=True)
            wave = 0.3 * np.sin(2 * np.pi * pitch_hz * (1 + k / 9) * np.arange(rate_hz) / rate_hz)
            soundfile.write(audio / f"{k}.wav", wave + 0.01 * rng.standard_normal(rate_hz), rate_hz)
            points = np.zeros(300, dtype=[(axis, "<f4") for axis in "xyz"])
            for axis in "xyz":
                points[axis] = rng.uniform(-0.3, 0.3, 300)
            PlyData([PlyElement.describe(points, "vertex")]).write(frames / f"person_{k}" / "00000.ply")
            rows.append(IndexRow(str(audio / f"{k}.wav"), str(frames / f"person_{k}"), 1))
    write_index(folder / "list.csv", rows)


def start(folder: Path, ckpt: Path, workers: int) -> subprocess.Popen:
    """Starts or resumes the run below `ckpt`, with its errors in a file."""
    lists = ["--list_train", folder / "list.csv", "--list_val", folder / "list.csv"]
    command = [sys.executable, ROOT / "main.py", *OPTIONS, *lists, "--ckpt", ckpt, "--resume", "1", "--save_iter", "1"]
    with open(folder / "errors.txt", "wb") as errors_file:
        return subprocess.Popen(
            [*map(str, command), "--workers", str(workers)], stdout=subprocess.PIPE, stderr=errors_file, cwd=folder
        )


def complaint(folder: Path, process: subprocess.Popen) -> str:
    """What a process said that ended by itself, and should not have."""
    return f"exit code {process.returncode}, {(folder / 'errors.txt').read_text()}"


def train_undisturbed(folder: Path) -> tuple[Path, float, float]:
    """The folder of a whole run, seconds until its first line and from there to its end."""
    begin = time.monotonic()
    process = start(folder, folder / "reference", workers=0)
    process.stdout.readline()
    first_line = time.monotonic()
    process.communicate()
    assert process.returncode == 0, (folder / "errors.txt").read_text()
    return run_of(folder / "reference"), first_line - begin, time.monotonic() - first_line


def wait(process: subprocess.Popen, rng: random.Random, startup_s: float, work_s: float) -> str:
    """Lets a process run for a random while -> when that was, in words."""
    if rng.random() < EARLY:
        pause_s = rng.uniform(0, startup_s)
        time.sleep(pause_s)
        return f"{pause_s:.2f} s after the start"
    process.stdout.readline()
    pause_s = rng.uniform(0, work_s / 2)
    time.sleep(pause_s)
    return f"{pause_s:.2f} s after the first line"


def run_of(ckpt: Path) -> Path:
    """The folder of the one run below `ckpt`."""
    (run,) = ckpt.iterdir()
    return run


def damages(ckpt: Path) -> list[str]:
    """What is wrong with the files of runs below `ckpt`, where a process was killed while it wrote them."""
    readers = {
        ".pth": lambda path: torch.load(path, weights_only=True),
        ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
        ".csv": read_table,
        ".png": lambda path: Image.open(path).load(),
        ".jpg": lambda path: Image.open(path).load(),
        ".wav": soundfile.read,
        ".mp3": soundfile.read,
        ".ply": PlyData.read,
        **dict.fromkeys((".html", ".css", ".js"), lambda path: path.read_text(encoding="utf-8")),
    }
    found = []
    for path in ckpt.rglob("*"):
        is_hidden = any(part.startswith(".") for part in path.relative_to(ckpt).parts)
        if path.is_dir() or is_hidden or "tensorboard" in path.parts:
            continue
        try:
            if ".tmp" in path.name:
                raise ValueError("a temporary file that looks like a result")
            readers[path.suffix](path)
        except Exception as error:  # of whatever reader
            found.append(f"{path.name}: {type(error).__name__} {error}")
    return found


def read_table(path: Path) -> None:
    """Raises ValueError if the rows of a table differ in length."""
    with open(path, newline="", encoding="utf-8") as file:
        if len({len(row) for row in csv.reader(file)}) != 1:
            raise ValueError("rows of different lengths, or none")


def differences(reference: Path, run: Path) -> list[str]:
    """What two finished runs do not have in common; their options and the times of their curves may differ."""
    found = damages(run)
    names = {path.relative_to(reference) for path in reference.rglob("*")}
    names = {name for name in names if "tensorboard" not in name.parts}
    found += [f"{name} is missing" for name in names if not (run / name).exists()]
    for name in sorted(names):
        ours, theirs = run / name, reference / name
        if not theirs.is_file() or not ours.exists() or name.name == "config.json":
            continue
        if name.suffix == ".pth":
            parts = (torch.load(path, weights_only=True) for path in (ours, theirs))
            found += [f"{name}: {place} differs" for place in unequal(*parts, "") if not place.startswith("/options")]
        elif ours.read_bytes() != theirs.read_bytes():
            found.append(f"{name} differs")
    return found


def unequal(a: object, b: object, place: str) -> Iterator[str]:
    """The places where two structures of tensors and plain values differ in any bit; NaN equals NaN."""
    if type(a) is not type(b):
        yield place
    elif torch.is_tensor(a):
        if a.dtype != b.dtype or not torch.equal(a, b):
            yield place
    elif isinstance(a, dict | list | tuple):
        for key in {**a, **b} if isinstance(a, dict) else range(max(len(a), len(b))):
            try:
                yield from unequal(a[key], b[key], f"{place}/{key}")
            except (KeyError, IndexError):
                yield f"{place}/{key}"
    elif a != b and not (a != a and b != b):
        yield place


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=whole(0), default=25, help="how many (default: 25)")
    parser.add_argument("--seed", type=whole(0), default=0, help="of the moments and the data (default: 0)")
    return parser.parse_args()


if __name__ == "__main__":
    run_command(main)
