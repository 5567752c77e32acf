"""Models on the Hugging Face Hub, by the library huggingface_hub, which is optional."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from utils.errors import InputError

NAME = re.compile(r"[\w.-]+/[\w.-]+")  # owner/name
FILES = ("model.safetensors", "config.json", "README.md")  # of a shared model; they are downloaded: none could be run
ONNX = ("masks.onnx", "axis.onnx", "onnx.json")  # that may lie beside them, and are uploaded as well


def pull(name: str) -> Path:
    """Downloads the model `owner/name`, or finds it among earlier downloads -> its folder.

    Raises:
        InputError: huggingface_hub is not installed, or it cannot get the model, or that is none of ours.
    """
    hub = _hub(f"{name}: there is no such folder; to look for it on the Hugging Face Hub: pip install huggingface_hub")
    try:
        folder = Path(hub.snapshot_download(name, allow_patterns=list(FILES)))
    except Exception as error:  # of the network, of the hub, of the library
        told = f"there is no such folder, and it cannot be downloaded from the Hugging Face Hub ({_first_line(error)})"
        raise InputError(f"{name}: {told}") from error
    if not (folder / FILES[0]).is_file():
        raise InputError(f"{name}: a model on the Hugging Face Hub without {FILES[0]}")
    return folder


def push(folder: Path, name: str) -> str:
    """Uploads an exported model to the repository `owner/name`, which is created if it does not exist -> its address.

    Raises:
        InputError: not the name of a repository, huggingface_hub is not installed, or it cannot upload the model.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"{name}: expected OWNER/NAME")
    hub = _hub("huggingface_hub is not installed: pip install huggingface_hub")
    try:
        hub.create_repo(name, exist_ok=True)
        return str(hub.upload_folder(repo_id=name, folder_path=str(folder), allow_patterns=[*FILES, *ONNX]))
    except Exception as error:
        raise InputError(f"{name}: cannot be uploaded ({_first_line(error)})") from error


def _hub(absent: str) -> ModuleType:
    """The library; raises InputError, `absent`, where it is not installed."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise InputError(absent) from error
    return huggingface_hub


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
