"""The weights of several nets in one safetensors file, which holds numbers and names and nothing that could be run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from utils.errors import InputError
from utils.files import fault_of_file, replacing

ENDING = ".safetensors"


def save_nets(nets: Mapping[str, Mapping[str, Tensor]], path: str | Path) -> None:
    """Writes state dicts of nets in main memory; a tensor's name there is `<net>.<name in the state dict>`.

    Raises:
        WriteError: the disk is full, or the folder cannot be written.
    """
    tensors = {f"{net}.{name}": value.contiguous() for net, state in nets.items() for name, value in state.items()}
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={"format": "pt"}))  # save_file's files are for their owner alone


def load_net(path: str | Path, net: str) -> dict[str, Tensor]:
    """The state dict of one net.

    Raises:
        InputError: the file is missing, damaged or of another kind, or holds no such net.
    """
    if fault := fault_of_file(path):
        raise InputError(f"{path}: cannot be read ({fault})")
    try:
        with safe_open(path, "pt") as file:
            names = [name for name in file.keys() if name.startswith(f"{net}.")]  # noqa: SIM118  (not a dict)
            state = {name.removeprefix(f"{net}."): file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: not a whole safetensors file ({str(error).splitlines()[0]})") from error
    if not state:
        raise InputError(f"{path}: holds no weights of a {net} net")
    return state
