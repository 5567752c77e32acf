"""Weights on disk: plain state dicts, loaded without running any code they might carry."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path

import torch
from torch import nn

from utils.errors import InputError
from utils.files import replacing


def save(content: dict, path: str | Path) -> None:
    """Writes a dictionary of tensors and plain values; an older file stays whole until the new one is.

    Raises:
        WriteError: the disk is full, or the folder cannot be written.
    """
    with replacing(path) as temporary:
        try:
            with open(temporary, "wb") as file:
                torch.save(content, file)
        except RuntimeError as error:  # PyTorch's writer stumbles over its own position after a write that failed
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def load(path: str | Path) -> dict:
    """Reads what `save` wrote, or any PyTorch file that holds a dictionary of tensors and plain values.

    Raises:
        InputError: the file is missing, truncated, of another kind, or would run code to be read.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # the error says it all
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on a damaged file PyTorch's unpickler stumbles in many ways, an OSError among them
        if isinstance(error, OSError) and error.filename:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # PyTorch's advice is to let the file run its code
            needs = re.search(r"GLOBAL (\S+)", str(error))
            reason = f"it wants {needs[1]} to be run, and no code is" if needs else "another kind of file, or damaged"
        raise InputError(f"{path}: not a whole PyTorch checkpoint of plain weights ({reason})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a dictionary of weights, found {type(content).__name__}")
    return content


def load_weights(net: nn.Module, path: str | Path) -> None:
    """Fills `net` from the state dict at `path`; names and shapes must fit exactly.

    Raises:
        InputError: as `load`, or weights of another architecture, with the first difference, or that are not finite.
    """
    fill(net, load(path), path)


def fill(net: nn.Module, weights: dict, path: str | Path) -> None:
    """Fills `net` from a state dict that was read from `path`; raises InputError as `load_weights`."""
    difference = next(_differences(net.state_dict(), weights), None)
    if difference:
        raise InputError(f"{path}: weights of another architecture or size ({difference})")
    for name, value in weights.items():
        if not value.isfinite().all():
            raise InputError(f"{path}: {name} holds NaN or infinite numbers; the training that wrote it had diverged")
    net.load_state_dict(weights)


def _differences(expected: dict, found: dict):
    for name, value in expected.items():
        if name not in found:
            yield f"no {name}"
        elif not torch.is_tensor(found[name]) or found[name].shape != value.shape:
            shape = list(getattr(found[name], "shape", []))
            yield f"{name} is {shape}, expected {list(value.shape)}"
    for name in found:
        if name not in expected:
            yield f"unexpected {name}"
