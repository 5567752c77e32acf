"""Models on the Hugging Face Hub, by the library huggingface_hub, which is optional."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from utils.errors import InputError

NAME = re.compile(r"[\w.-]+/[\w.-]+")  # owner/name
FILES = ("model.safetensors", "config.json", "README.md")  # the files that are downloaded: none could be run


def pull(name: str) -> Path:
    """Downloads the model `owner/name`, or finds it among earlier downloads -> its folder.

    Raises:
        InputError: huggingface_hub is not installed, or it cannot get the model.
    """
    hub = _hub()
    try:
        return Path(hub.snapshot_download(name, allow_patterns=list(FILES)))
    except Exception as error:  # of the network, of the hub, of the library
        raise InputError(f"{name}: cannot be downloaded ({_first_line(error)})") from error


def push(folder: Path, name: str) -> str:
    """Uploads an exported model to the repository `owner/name`, which is created if it does not exist -> its address.

    Raises:
        InputError: not the name of a repository, huggingface_hub is not installed, or it cannot upload the model.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"{name}: expected OWNER/NAME")
    hub = _hub()
    try:
        hub.create_repo(name, exist_ok=True)
        return str(hub.upload_folder(repo_id=name, folder_path=str(folder), allow_patterns=list(FILES)))
    except Exception as error:
        raise InputError(f"{name}: cannot be uploaded ({_first_line(error)})") from error


def _hub() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        raise InputError("huggingface_hub is not installed: pip install huggingface_hub") from error
    return huggingface_hub


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
