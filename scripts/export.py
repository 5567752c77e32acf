"""Writes a trained run as a folder to share: model.safetensors, config.json and a model card.

    python scripts/export.py ckpt/<run> model/
    python scripts/export.py ckpt/<run> model/ --onnx --points a.ply     writes ONNX files as well, for use without
                                                                         PyTorch, with the vectors of these clouds
    python scripts/export.py model/ --push owner/name                    uploads the folder, as it is, to the Hugging
                                                                         Face Hub

The folder separates like a run: scripts/separate.py --run model/, or Separator.from_pretrained("model/").
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse
from collections.abc import Iterator

from arguments import run_argument
from dataset.text_clouds import check_columns
from jobs.names import name_of_cloud
from jobs.options import add_cloud_options, with_axis
from jobs.players import CaptureSettings, read_source
from separation import Separator
from separation.export import CARD, NEW_CARD, export_model, read_card
from separation.model_card import FILL_IN
from separation.separator import Cloud
from utils.errors import InputError, run_command
from utils.hub import FILES, push
from utils.options import ArgumentParser, switch


def main() -> None:
    options = parse_arguments()
    if options.push:
        print(f"uploaded: {upload(options.run, options.push)}")
        return
    separator = Separator.from_run(options.run, "cpu")
    clouds = {name: seen for name, seen in read_clouds(separator, options)} if options.onnx else None
    for path in export_model(options.run, options.folder, bool(options.overwrite), separator, clouds):
        print(f"wrote {path}")
        if path.name == NEW_CARD:
            print(f"note: {path.with_name(CARD)} was edited and stays; what is new is in {path}")
    if FILL_IN in read_card(options.folder):
        print(f"fill in data, licence and limits in {options.folder / CARD} before you share it")


def upload(model: Path, name: str) -> str:
    """Uploads an exported model with its card as it is -> its address; raises InputError where it is none."""
    missing = next((file for file in FILES if not (model / file).is_file()), None)
    if missing:
        raise InputError(f"{model}: no {missing}; --push takes a folder that this command wrote")
    Separator.from_run(model, "cpu")  # or nobody could use it
    if FILL_IN in read_card(model):
        print(f"note: {model / CARD} still has parts {FILL_IN}")
    return push(model, name)


def read_clouds(separator: Separator, options: argparse.Namespace) -> Iterator[tuple[str, list[Cloud] | str]]:
    """The musicians of --points by the names that separate.py gives them: clouds, or for a model of labels a label."""
    settings = CaptureSettings(up=options.up, unit=options.unit, columns=options.columns, place=options.place)
    names = set()
    for number, path in enumerate(options.points):
        name = path if separator.instruments else name_of_cloud(Path(path))
        if name in names:
            raise InputError(f"--points: two are called {name}; each vector is named after its file or folder")
        names.add(name)
        yield name, path if separator.instruments else read_source(separator, path, number, settings)


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("run", metavar="RUN", type=run_argument, help="folder of a run, ckpt/<run>; its best weights are taken")
    add("folder", metavar="FOLDER", type=Path, nargs="?", help="folder to write")
    add("--overwrite", type=switch, default=0, help="1: replace the model in FOLDER (default: 0)")
    add("--push", metavar="OWNER/NAME", help="upload RUN, an exported model, to this repository of the Hub")
    add("--onnx", action="store_true", help="write masks.onnx, axis.onnx and onnx.json as well")
    add("--points", nargs="+", default=[], help="with --onnx: a cloud of each musician, as of separate.py; or labels")
    add_cloud_options(parser)
    options = parser.parse_args(with_axis(sys.argv[1:]))
    if options.push and (options.folder or options.onnx or options.overwrite):
        raise InputError("--push takes an exported model alone; export it first, and fill in its card")
    if not options.push and not options.folder:
        raise InputError("FOLDER is missing, the folder to write")
    if options.points and not options.onnx:
        raise InputError("--points goes with --onnx")
    if options.columns:
        check_columns(options.columns)
    return options


if __name__ == "__main__":
    run_command(main)
