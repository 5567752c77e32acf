"""Randomness that depends on nothing but named numbers, so that order, workers and restarts change nothing."""

from __future__ import annotations

import random

import numpy as np
import torch


def generator(*key: int) -> np.random.Generator:
    """The generator of a key such as (seed, epoch, index): another one for every key of the same length."""
    return np.random.default_rng(list(key))


def seed_everything(seed: int) -> None:
    """Seeds the global generators of Python, NumPy and PyTorch: initial weights come from them."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  (for libraries that draw from the global generator)
    torch.manual_seed(seed)
