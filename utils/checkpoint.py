"""Weights on disk: plain state dicts, loaded without running any code they might carry."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from utils.errors import InputError
from utils.files import fault_of_file, replacing, words_of
from utils.host import to_host

# Types of weights: those of half and double precision are converted.
PLAIN = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32, torch.int64)


def save(content: dict, path: str | Path) -> None:
    """Writes a dictionary of tensors and plain values; an existing file is replaced only when the new one is complete.

    Tensors on a GPU are written as tensors in main memory, so the file can be read anywhere without `map_location`.

    Raises:
        WriteError: the disk is full, or the folder cannot be written.
    """
    content = to_host(content)
    with replacing(path) as temporary:
        try:
            with open(temporary, "wb") as file:
                torch.save(content, file)
        except RuntimeError as error:  # PyTorch's writer stumbles over its own position after a write that failed
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def load(path: str | Path) -> dict:
    """Reads what `save` wrote, or any PyTorch file that holds a dictionary of tensors and plain values.

    Raises:
        InputError: the file is missing, truncated, of another kind, or would need code to be run; or it is larger than
            this machine's memory, or claims to be.
    """
    if fault := fault_of_file(path):
        raise InputError(f"{path}: cannot be read ({fault})")
    try:
        _refuse_compressed(path)
        with warnings.catch_warnings(action="ignore"):  # the error says it all
            content = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # on a damaged file PyTorch's unpickler stumbles in many ways, an OSError among them
        if isinstance(error, OSError) and error.filename:
            raise InputError(f"{path}: cannot be read ({words_of(error)})") from error
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise InputError(f"{path}: there is too little memory to read it") from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # PyTorch's advice is to let the file run its code
            needs = re.search(r"GLOBAL (\S+)", str(error))
            reason = f"it wants {needs[1]} to be run, and no code is" if needs else "another kind of file, or damaged"
        raise InputError(f"{path}: not a whole PyTorch checkpoint of plain weights ({reason})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a dictionary of weights, found {type(content).__name__}")
    for name, value in tensors_in(content):
        is_plain = value.layout == torch.strided and not value.is_meta
        if not is_plain or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise InputError(
                f"{path}: not a whole PyTorch checkpoint ({name} is larger than what the file holds of it)"
            )
    return content


def _refuse_compressed(path: str | Path) -> None:
    """Raises InputError for a compressed file, which could unpack to any size: PyTorch never compresses what
    it saves.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise InputError(f"{path}: not a whole PyTorch checkpoint of plain weights (its parts are compressed)")


def tensors_in(content: object, name: str = "it") -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor in dictionaries and lists, with its name."""
    if torch.is_tensor(content):
        yield name, content
    elif isinstance(content, dict | list | tuple):
        for key, part in content.items() if isinstance(content, dict) else enumerate(content):
            yield from tensors_in(part, str(key))


def fill(net: nn.Module, weights: dict, path: str | Path) -> None:
    """Fills `net` from a state dict that was read from `path`; names and shapes must fit exactly.

    Raises:
        InputError: weights of another architecture, with the first difference, or that are not finite.
    """
    check_fit(net, weights, path)
    check_finite(weights, path)
    net.load_state_dict(weights)


def check_finite(weights: dict, path: str | Path) -> None:
    """Raises InputError if a state dict, read from `path`, holds something else than plain, finite numbers."""
    for name, value in weights.items():
        if not torch.is_tensor(value):
            raise InputError(f"{path}: not weights of a net ({name} is no tensor)")
        if value.dtype not in PLAIN:
            raise InputError(f"{path}: {name} holds numbers of type {str(value.dtype).removeprefix('torch.')}")
        if not value.isfinite().all():
            raise InputError(f"{path}: {name} holds NaN or infinite numbers; the training that wrote it had diverged")


def fill_what_fits(net: nn.Module, weights: dict, path: str | Path) -> tuple[list[str], list[str]]:
    """Fills those tensors of `net` that a state dict, read from `path`, has in the same shape.

    Returns:
        The names of the net's other tensors, and of the tensors in the file that were not taken.

    Raises:
        InputError: as `check_finite`.
    """
    check_finite(weights, path)
    own = net.state_dict()
    taken = {name: value for name, value in weights.items() if name in own and value.shape == own[name].shape}
    net.load_state_dict({**own, **taken})
    return [name for name in own if name not in taken], [name for name in weights if name not in taken]


def check_fit(net: nn.Module, weights: dict, path: str | Path) -> None:
    """Raises InputError for a state dict, read from `path`, of other names or shapes than those of `net`."""
    difference = next(_differences(net.state_dict(), weights), None)
    if difference:
        raise InputError(f"{path}: weights of another architecture or size ({difference})")


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
