"""Run by test_package.py beside an installed wheel and a user's modules of our names: prints what came of it."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from importlib.metadata import distribution
from io import StringIO

import point_cloud_source_separation as package

import separation

portable_needs_torch = bool(separation.PortableSeparator) and "torch" in sys.modules

root = package.__path__[0]
modules = []
for prefix, place in (("", root), ("scripts.", f"{root}/scripts")):  # which has no __init__.py
    modules += [found.name for found in pkgutil.walk_packages([place], f"{package.__name__}.{prefix}")]
for name in modules:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != "triton":  # which is not there for every platform
            raise
loaded = sorted(sys.modules)


def said_by(name: str, word: str) -> str:
    """What a console command prints that is given one word."""
    (command,) = distribution("point-cloud-source-separation").entry_points.select(name=name)
    sys.argv = [f"/somewhere/bin/{name}", word]
    with redirect_stdout(StringIO()) as printed, redirect_stderr(printed), suppress(SystemExit):
        command.load()()
    return printed.getvalue()


commands = [entry.name for entry in distribution("point-cloud-source-separation").entry_points]
about = {
    "modules": modules,
    "loaded": loaded,
    "users": [importlib.import_module(name).USERS for name in ("utils", "models", "dataset", "main")],
    "public": {name: getattr(separation, name).__module__ for name in separation.__all__},
    "portable_needs_torch": portable_needs_torch,
    "commit": importlib.import_module(f"{package.__name__}.utils.commit").git_commit(),
    "launched": importlib.import_module(f"{package.__name__}.main").MYSELF,
    "help": {name: said_by(name, "--help") for name in commands},
    "wrong": {name: said_by(name, "--no_such_option") for name in commands},
}
print(json.dumps(about))
