"""Randomness that depends only on named numbers, so that order, workers and restarts change nothing."""

from __future__ import annotations

import random

import numpy as np
import torch


def generator(*key: int) -> np.random.Generator:
    """The generator of a key such as (seed, epoch, index); different keys of the same length have different
    generators.
    """
    return np.random.default_rng(list(key))


def seed_everything(seed: int) -> None:
    """Seeds the global generators of Python, NumPy and PyTorch: initial weights come from them."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  (for libraries that draw from the global generator)
    torch.manual_seed(seed)


def random_state() -> dict:
    """The state of every global generator as tensors and plain values."""
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002
    key = torch.from_numpy(numpy_state["state"]["key"].astype(np.int64))
    return {
        "python": random.getstate(),
        "numpy": {**numpy_state, "state": {**numpy_state["state"], "key": key}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "mps": [torch.mps.get_rng_state()] if torch.backends.mps.is_available() else [],
    }


def restore_random_state(state: dict) -> None:
    """Restores every global generator to a state of `random_state`; those of devices only where they fit."""
    key = state["numpy"]["state"]["key"].numpy().astype(np.uint32)
    random.setstate(state["python"])
    np.random.set_state({**state["numpy"], "state": {**state["numpy"]["state"], "key": key}})  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    if torch.backends.mps.is_available() and state["mps"]:
        torch.mps.set_rng_state(state["mps"][0])
