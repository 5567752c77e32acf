"""Command lines: a parser that complains in one line, and types for options that check their range."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Collection
from typing import NoReturn

from utils.errors import InputError


class ArgumentParser(argparse.ArgumentParser):
    """Reports a wrong command line in one line, as everything else that a user can mend; no abbreviations.

    A word that begins with a minus and a digit is a value and no option, like the name of a run without an id.
    """

    def __init__(self, **settings) -> None:
        super().__init__(allow_abbrev=False, **settings)
        self._negative_number_matcher = re.compile(r"-\d")

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; {self.prog} --help lists the options")


def whole(low: int, high: int = 2**63 - 1) -> Callable[[str], int]:
    """A type for argparse: a whole number from `low` to `high`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            limits = f"{low} or more" if value < low else f"at most {high}"
            raise argparse.ArgumentTypeError(f"expected a whole number of {limits}, not {text!r}")
        return value

    return parse


def real(low: float, high: float = float("inf"), exclusive: bool = False) -> Callable[[str], float]:
    """A type for argparse: a finite number from `low` to `high`; with `exclusive` `low` itself is refused."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high or value == float("inf") or (exclusive and value == low):
            limits = f"more than {low}" if exclusive else f"{low} or more"
            limits += "" if high == float("inf") else f" and at most {high}"
            raise argparse.ArgumentTypeError(f"expected a number of {limits}, not {text!r}")
        return value

    return parse


def check_unchanged(was: dict, options: dict, may_change: Collection[str]) -> None:
    """Refuses to go on with a run, whose options were `was`, with others, except for those that may change.

    Raises:
        InputError: with the options' names.
    """
    changed = [name for name, value in options.items() if name not in may_change and was[name] != value]
    if changed:
        differences = [f"--{name} {_shown(was[name])} (now {_shown(options[name])})" for name in changed]
        raise InputError(f"--resume 1: the run was begun with {', '.join(differences)}")


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value) or '""'


def switch(text: str) -> int:
    """A type for argparse: 0 or 1."""
    if text not in ("0", "1"):
        raise argparse.ArgumentTypeError(f"expected 0 or 1, not {text!r}")
    return int(text)
