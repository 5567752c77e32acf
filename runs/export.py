"""A trained run -> a folder to share: weights that hold nothing that could be run, settings, and a model card."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from runs.folder import SEPARATION_OPTIONS, WEIGHTS, best_weights, run_called, run_options
from runs.model_card import model_card
from utils import checkpoint
from utils.errors import InputError, WriteError
from utils.files import is_there, read_json, write_json
from utils.shared_weights import ENDING, load_net, save_nets

CARD = "README.md"
FILES = (WEIGHTS, "config.json", CARD)
ONNX = ("masks.onnx", "level.onnx", "onnx.json")  # files that may lie beside them


def export_model(run: Path, folder: Path, overwrite: bool = False) -> list[Path]:
    """Writes `model.safetensors`, `config.json` and a model card, `README.md`, into `folder`.

    The settings are those that a separation needs. Nothing is written about the machine or about paths on it.

    Args:
        run: its best weights are taken; or an exported model.
        overwrite: replace these files in a folder that has them.

    Returns:
        The files' paths.

    Raises:
        InputError: `run` is no run, or damaged; `folder` exists and holds something.
        WriteError: it cannot be written.
    """
    run = run_called(run)
    options = run_options(run)
    nets = {net: _state(path, net) for net, path in best_weights(run).items()}
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: a file; expected the name of a new folder")
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if present and (not overwrite or present - {*FILES, *ONNX}):
        other = sorted(present - {*FILES, *ONNX}) or sorted(present)
        raise InputError(
            f"{folder}: already holds {other[0]}; choose another folder, or --overwrite 1 to replace an exported model"
        )
    settings = {name: getattr(options, name) for name in SEPARATION_OPTIONS}
    scores = read_json(run / "metrics.json") if is_there(run / "metrics.json") else None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=".export.", dir=folder.parent))
        try:
            save_nets(nets, new / WEIGHTS)
            write_json(new / "config.json", {"format": 1, "options": settings})
            (new / CARD).write_text(model_card(settings, scores), encoding="utf-8")
            new.chmod(0o755)
            if present:
                for name in ONNX:  # of the model before
                    (folder / name).unlink(missing_ok=True)
                for name in FILES:
                    os.replace(new / name, folder / name)
            else:
                os.replace(new, folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise WriteError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return [folder / name for name in FILES]


def _state(path: str, net: str) -> dict:
    return load_net(path, net) if path.endswith(ENDING) else checkpoint.load(path)
