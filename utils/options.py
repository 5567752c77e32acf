"""Command lines: a parser whose errors are one line, and types for options that check their range."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NoReturn

from utils.errors import InputError

MOST_VALUES = 1000  # most values of an option that takes several
PICTURES = (".png", ".jpg", ".jpeg")
LONGEST_VALUE = 4096  # letters, as of a path


class ArgumentParser(argparse.ArgumentParser):
    """Reports a wrong command line in one line, as every error that a user can correct; abbreviations are not accepted.

    A word that begins with a minus and a digit is taken as a value, because the name of a run without an id begins so.
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


def picture(text: str) -> Path:
    """A type for argparse: a picture file, whose kind its name's ending says."""
    if Path(text).suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(f"expected a name that ends in {', '.join(PICTURES)}, not {text!r}")
    return Path(text)


def checked_values(parser: argparse.ArgumentParser, stored: object) -> dict:
    """Options that were stored in a file, each checked and converted as if it had been given on the command line.

    Args:
        stored: option -> value; a list for options of several values. What `parser` does not know is left out.

    Raises:
        InputError: a value that the command line would not take, with its option.
    """
    if not isinstance(stored, dict):
        raise InputError("no options in it")
    actions = {action.dest: action for action in parser._actions}
    return {name: _checked(actions[name], value) for name, value in stored.items() if name in actions}


def _checked(action: argparse.Action, value: object) -> object:
    is_list = action.nargs == "*"
    values = value if is_list and isinstance(value, list) else [value]
    if is_list and not isinstance(value, list) or len(values) > MOST_VALUES:
        raise InputError(f"--{action.dest}: expected a list of at most {MOST_VALUES} values")
    found = []
    for part in values:
        if isinstance(part, bool) or not isinstance(part, str if action.type is None else str | int | float):
            raise InputError(f"--{action.dest}: {_cut(part)} is not a value of it")
        if isinstance(part, str) and len(part) > LONGEST_VALUE:
            raise InputError(f"--{action.dest}: longer than {LONGEST_VALUE} letters")
        try:
            found.append(action.type(str(part)) if action.type else part)
        except (argparse.ArgumentTypeError, ValueError) as error:  # ValueError: more digits than Python takes
            raise InputError(f"--{action.dest}: {error}") from error
        if action.choices is not None and found[-1] not in action.choices:
            raise InputError(f"--{action.dest}: {_cut(part)} is none of {', '.join(map(str, action.choices))}")
    return found if is_list else found[0]


def _cut(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


def check_unchanged(was: dict, options: dict, may_change: Collection[str]) -> None:
    """Rejects resuming a run whose options were `was` with other options, except for those that may change.

    Raises:
        InputError: with the options' names.
    """
    changed = [name for name, value in options.items() if name not in may_change and was.get(name) != value]
    if changed:
        differences = [f"--{name} {_shown(was.get(name))} (now {_shown(options[name])})" for name in changed]
        raise InputError(f"--resume 1: the run was begun with {', '.join(differences)}")


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value) or '""'


def switch(text: str) -> int:
    """A type for argparse: 0 or 1."""
    if text not in ("0", "1"):
        raise argparse.ArgumentTypeError(f"expected 0 or 1, not {text!r}")
    return int(text)
