"""Options of commands that read captures of musicians."""

from __future__ import annotations

import argparse

from dataset.captures import UNITS_M, UP_AXES
from jobs.players import PLACES


def add_cloud_options(parser: argparse.ArgumentParser) -> None:
    """How clouds are read: `--up --unit --place --columns`, see `jobs.players.CaptureSettings`."""
    parser.add_argument(
        "--up", default="y", choices=list(UP_AXES), help="axis of the clouds that points up (default: y)"
    )
    parser.add_argument(
        "--unit", default="auto", choices=["auto", *UNITS_M], help="of the clouds (default: auto, by their height)"
    )
    parser.add_argument(
        "--place",
        default=PLACES[0],
        choices=PLACES,
        help="of the clouds of --points: origin moves those that stand elsewhere to the origin, where training clouds "
        "stand; keep leaves them (default: origin)",
    )
    parser.add_argument(
        "--columns",
        nargs="+",
        help="of text files: x y z, r g b and _ for what is else, in their order (default: by titles and values)",
    )


def with_axis(words: list[str]) -> list[str]:
    """The command line with `--up -y` as `--up=-y`: argparse takes -y for an option."""
    joined = []
    for word in words:
        if joined and joined[-1] == "--up":
            joined[-1] = f"--up={word}"
        else:
            joined.append(word)
    return joined
