"""What a training iteration asks of a GPU, counted on the simulated one; prints JSON.

Run by `benchmarks.estimate`, with `tests` on the path: `python -m fake_gpu THIS [options of main.py]`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[place]) for place in (2, 1)]

import torch
from fake_gpu.device import LEDGER

from benchmarks.step import training_options
from dataset.collate import Batch
from from_options import build_model, changed
from models import sparse
from models.backend import shells
from training import Trainer

BATCHES = (2, 4)  # mixtures; what a larger batch asks for follows from these two
VOXELS = 4700
# Of an H100 (SXM), by its data sheet: multiplications a second in TF32 and in bfloat16 or float16, bytes a second.
RATES = {"float32": 247e12, "bfloat16": 494e12, "float16": 494e12}, 3.35e12


def main() -> None:
    options = changed(training_options(sys.argv[1:]), device="cuda")
    device = torch.device("cuda")
    trainer = Trainer(build_model(options, sparse, device), options)
    trainer.model.train()
    found = []
    for size in (BATCHES[0], *BATCHES):  # the first iteration makes what is kept
        batch = made_up_batch(options.num_mix, options.num_frames, size, options.audLen).pin_memory()
        LEDGER.clear()
        trainer.compute_gradients([batch])
        trainer.step()
        seconds = LEDGER.seconds(*RATES)
        found.append({"waits": LEDGER.num_waits, "launches": LEDGER.num_launches, "computing_s": seconds})
    print(json.dumps({"batches": BATCHES, "iterations": found[1:]}))


def made_up_batch(sources: int, frames: int, size: int, length: int) -> Batch:
    """A batch of noise and of shells as large as musicians."""
    clouds = shells(sources * frames * size, VOXELS)
    waves = 0.1 * torch.randn(sources, size, length, generator=torch.Generator().manual_seed(0))
    return Batch(sources=waves, clouds=clouds, indices=list(range(size)), draws=[[] for _ in range(size)])


if __name__ == "__main__":
    main()
