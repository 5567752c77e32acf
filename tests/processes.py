"""Runs of main.py as several processes on the CPU, or alone, that tests start, watch and end."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from conftest import ROOT
from test_main import events_of, python

SMALL = [
    *("--device", "cpu", "--arch_sound", "unet5", "--ngf", "4", "--num_channels", "4", "--audLen", "8191"),
    *("--voxel_size", "0.1", "--workers", "0", "--mask_thres", "0.1", "--num_vis", "0", "--save_iter", "2"),
    *("--list_train", "list.csv", "--list_val", "list.csv", "--dup_trainset", "1", "--disp_iter", "1"),
]
LABEL = ["--arch_vision", "label"]  # a vision net of no size


def main(tree, *arguments):
    return python(tree, ROOT / "main.py", *SMALL, *arguments)


def run_of(tree, ckpt):
    (run,) = (tree / ckpt).iterdir()
    return run


def losses_of(run):
    """The training losses of a run, iteration by iteration."""
    return [event.value for event in events_of(run / "tensorboard").Scalars("train/loss")]


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.1)


def iterations_saved(tree, ckpt):
    """Epoch and iteration of the `last.pth` below a folder; (0, 0) while there is none."""
    for path in (tree / ckpt).glob("*/last.pth"):
        try:
            state = torch.load(path, weights_only=True)["state"]
        except (OSError, RuntimeError):
            continue
        return state["epoch"], state["iteration"]
    return 0, 0


def children_of(process):
    """The processes that a launcher started, by number."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            environment = (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        ranks = [entry.partition(b"=")[2] for entry in environment if entry.startswith(b"RANK=")]
        if parent == process.pid and ranks:
            found[int(ranks[0])] = int(path.name)
    return found
