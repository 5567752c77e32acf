"""A trained run -> a folder to share: weights that hold nothing that could be run, settings, and a model card."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from runs.folder import FORMAT, NETS, SEPARATION_OPTIONS, WEIGHTS, run_called, run_options
from runs.state import finish_outputs
from runs.summary import summary_of_best
from separation.model_card import model_card
from separation.onnx_export import export_onnx
from separation.separator import Seen, Separator
from utils.errors import InputError, WriteError
from utils.files import fault_of_folder, is_there, make_folder, read_json, real_path, write_json
from utils.hub import FILES, ONNX
from utils.leftovers import making, remove_left_behind
from utils.shared_weights import save_nets

PARTIAL = ".export."  # begins the name of a folder that is being written
CARD, NEW_CARD = "README.md", "README.new.md"  # the second one beside a card that was edited
OURS = {*FILES, *ONNX, NEW_CARD}


def export_model(
    run: Path,
    folder: Path,
    overwrite: bool = False,
    separator: Separator | None = None,
    clouds: Mapping[str, Sequence[Seen]] | None = None,
) -> list[Path]:
    """Writes `model.safetensors`, `config.json` and a model card, `README.md`, into `folder`.

    The settings are those that a separation needs. Nothing is written about the machine or about paths on it. No file
    appears or is replaced before all are complete.

    Args:
        run: its best weights are taken; or an exported model.
        overwrite: replace these files in a folder that has them. A card that was edited stays, and the new one is
            written as `README.new.md`.
        separator: of the run, on the CPU, if there is one already.
        clouds: to write the ONNX files as well: name -> a cloud, see `onnx_export.export_onnx`.

    Returns:
        The files' paths.

    Raises:
        InputError: `run` is no run, or damaged; `folder` exists and holds something; as `export_onnx`.
        WriteError: it cannot be written.
    """
    run = run_called(run)
    finish_outputs(run)
    options, separator = run_options(run), separator or Separator.from_run(run, "cpu")  # which checks the weights
    settings = {name: getattr(options, name) for name in SEPARATION_OPTIONS}
    is_model = is_there(run / WEIGHTS) and is_there(run / CARD)
    card = read_card(run) if is_model else model_card(settings, summary_of_best(run))
    place = real_path(folder)
    _check_place(folder, overwrite)
    beside = place if place.is_dir() else place.parent  # on the same disk, even where the folder is a mount point
    try:
        make_folder(beside)
        remove_left_behind(beside.glob(f"{PARTIAL}*"))
        with making(lambda: beside / f"{PARTIAL}{secrets.token_hex(8)}.tmp", is_folder=True) as new:
            try:
                save_nets({name: getattr(separator.net, name).state_dict() for name in NETS}, new / WEIGHTS)
                (new / CARD).write_text(card, encoding="utf-8")
                write_json(new / "config.json", {"format": FORMAT, "options": settings, "card": _digest(new / CARD)})
                if clouds is not None:
                    export_onnx(separator, new, clouds)
                _keep_edited_card(place, new)
                names = sorted(path.name for path in new.iterdir())
                _put(new, place)
            finally:
                shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise WriteError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return [folder / name for name in names]


def _check_place(folder: Path, overwrite: bool) -> None:
    """Raises InputError if this is no folder, or one that holds what must not be replaced."""
    if is_there(place := real_path(folder)) and not place.is_dir():
        raise InputError(f"{folder}: {fault_of_folder(place)}; expected the name of a new folder")
    present = sorted(path for path in folder.glob("*") if not path.name.startswith(PARTIAL))
    others = [path.name for path in present if path.name not in OURS or path.is_dir()]
    if others:
        raise InputError(
            f"{folder}: already holds {others[0]}, which is no part of an exported model; choose another folder, or "
            "move it away"
        )
    if present and not overwrite:
        raise InputError(
            f"{folder}: already holds {present[0].name}; choose another folder, or --overwrite 1 to replace an "
            "exported model"
        )


def read_card(model: Path) -> str:
    """The model card of an exported model; raises InputError if it cannot be read."""
    try:
        return (model / CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{model / CARD}: cannot be read ({error})") from error


def _keep_edited_card(folder: Path, new: Path) -> None:
    """Takes the card of the folder that will be replaced into the new one, if somebody has changed it."""
    card = folder / CARD
    if card.is_file():
        written = read_json(folder / "config.json").get("card") if is_there(folder / "config.json") else None
        if _digest(card) not in (written, _digest(new / CARD)):
            (new / CARD).rename(new / NEW_CARD)
            shutil.copyfile(card, new / CARD)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _put(new: Path, folder: Path) -> None:
    """Puts what the folder `new` holds where `folder` is, which stays the same folder: somebody may be in it."""
    if not folder.is_dir():
        os.replace(new, folder)
        return
    names = {path.name for path in new.iterdir()}
    for name in OURS - names:
        (folder / name).unlink(missing_ok=True)
    for name in names:
        os.replace(new / name, folder / name)
