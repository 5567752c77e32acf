"""Writes a trained run as a folder to share: model.safetensors, config.json and a model card.

    python scripts/export.py ckpt/<run> model/
    python scripts/export.py ckpt/<run> model/ --push owner/name         uploads it to the Hugging Face Hub as well
    python scripts/export.py ckpt/<run> model/ --onnx --points a.ply     writes ONNX files as well, for use without
                                                                         PyTorch, with the vectors of these clouds

The folder separates like a run: scripts/separate.py --run model/, or Separator.from_pretrained("model/").
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.start import start_command

start_command(__name__)

import argparse

from arguments import run_argument
from jobs.players import CaptureSettings, read_source
from runs.export import export_model
from separation import Separator
from separation.onnx_export import export_onnx
from separation.separator import Cloud
from utils.errors import InputError, run_command
from utils.hub import push
from utils.options import ArgumentParser, switch


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "run", metavar="RUN", type=run_argument, help="folder of a run, ckpt/<run>; its best weights are taken"
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="folder to write")
    parser.add_argument("--overwrite", type=switch, default=0, help="1: replace the model in FOLDER (default: 0)")
    parser.add_argument(
        "--push", metavar="OWNER/NAME", help="upload to this repository of the Hugging Face Hub as well"
    )
    parser.add_argument("--onnx", action="store_true", help="write masks.onnx, level.onnx and onnx.json as well")
    parser.add_argument(
        "--points",
        nargs="+",
        default=[],
        help="with --onnx: a cloud of each musician, as separate.py takes it; or labels",
    )
    options = parser.parse_args()
    if options.points and not options.onnx:
        raise InputError("--points goes with --onnx")
    separator = Separator.from_run(options.run, "cpu") if options.onnx else None
    clouds = {Path(path).stem: seen(separator, path) for path in options.points}
    if len(clouds) < len(options.points):
        raise InputError("--points: two files have the same name; each vector is named after its file")
    written = export_model(options.run, options.folder, bool(options.overwrite))
    if separator:
        written += export_onnx(separator, options.folder, clouds)
    for path in written:
        print(f"wrote {path}")
    print(f"fill in data, licence and limits in {options.folder / 'README.md'} before you share it")
    if options.push:
        print(f"uploaded: {push(options.folder, options.push)}")


def seen(separator: Separator, path: str) -> list[Cloud] | str:
    """A musician's cloud, as a separation has it, or for a model trained on labels the label itself."""
    return path if separator.instruments else read_source(separator, path, 0, CaptureSettings())


if __name__ == "__main__":
    run_command(main)
