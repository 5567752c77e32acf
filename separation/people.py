"""How much a thing in a room resembles a person with an instrument."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from separation.footprints import SMALLEST, Group
from separation.logistic import Logistic
from separation.shape import describe

HEADLESS_M = 0.8  # the depth below the top that is used where no head is found
PERSON = Logistic.read(Path(__file__).with_name("people.txt"))  # fitted by scripts/fit_people.py


def with_score(voxels: np.ndarray, height: np.ndarray, part: Group) -> Group:
    """A part of voxels `[V, 3]` at `height` `[V]`, with its resemblance to a musician; the smallest parts get none."""
    return replace(part, score=PERSON(measure(voxels, height, part))) if len(part.members) >= SMALLEST else part


def measure(voxels: np.ndarray, height: np.ndarray, part: Group) -> dict[str, float]:
    """Measures of a part of voxels `[V, 3]` at `height` `[V]` above the floor that distinguish persons from
    furniture.
    """
    found = describe(voxels[part.members], height[part.members])
    below = max(found["top"] - part.head_m, 0.0) if part.head_m else HEADLESS_M
    head = float(np.log(part.head + 0.02) - np.log(1.02 - part.head))
    return {"head": head, "head below the top": below} | found
