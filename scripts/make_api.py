"""Writes docs/api.md: the classes and functions to use from Python, from their signatures and docstrings.

python scripts/make_api.py            # after a public name, signature or docstring has changed
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from utils.errors import run_command
from utils.files import replacing
from utils.options import ArgumentParser

OUTPUT = ROOT / "docs" / "api.md"
PARTS = {  # heading -> modules, in the order in which a reader needs them
    "Separating recordings": (
        *("separation.separator", "separation.portable", "separation.stream", "separation.stems"),
        *("separation.scene", "separation.scene_files"),
        *("jobs.lists", "jobs.players", "jobs.recordings", "jobs.batch"),
    ),
    "Rendering scenes": ("spatial.render", "spatial.geometry", "spatial.room", "spatial.ensemble", "spatial.stream"),
    "Reading data": (
        *("dataset.settings", "dataset.audio", "dataset.captures", "dataset.voxels"),
        *("dataset.index", "dataset.eval_list", "dataset.music", "dataset.collate", "dataset.loader"),
    ),
    "Models": ("models", "models.description", "models.separation_net", "models.backend"),
    "Scores and spectrograms": ("utils.metrics", "utils.bss_eval", "utils.spectrogram"),
}
INTRODUCTION = """\
# Python API

These are the classes and functions to use from Python. `python scripts/make_api.py` writes this page from the code, and
`tests/test_api.py` fails if it differs. Run Python in the root of the repository. After `pip install .` only
`separation` is at the top, and the other modules are in `point_cloud_source_separation`, such as
`point_cloud_source_separation.dataset.settings`.

Shapes are in brackets. The letters are B mixtures in a batch, N sources, K frames of a cloud, P points, V voxels, L
samples, C channels, F frequency bins (F' on the model's axis) and T spectrogram frames. Errors that a user can correct
are `utils.errors.InputError`, with a message of one line.
"""
SECTIONS = {"Args:": "Arguments", "Attributes:": "Attributes", "Returns:": "Returns", "Raises:": "Raises"}
WIDTH = 100  # of a signature on one line
PROPERTIES = {"property", "cached_property"}


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    with replacing(OUTPUT) as temporary:
        temporary.write_text(page())
    print(f"wrote {OUTPUT}")


def page() -> str:
    """The whole page."""
    lines = [INTRODUCTION]
    lines += [f"- [{part}](#{part.lower().replace(' ', '-')})" for part in PARTS]
    for part, names in PARTS.items():
        lines += ["", f"## {part}"]
        for name in names:
            lines += of_module(name)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def of_module(name: str) -> list[str]:
    """Lines on a module, its public classes with their public methods, and its public functions."""
    path = ROOT.joinpath(*name.split("."))
    tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())
    lines = ["", f"### `{name}`", "", *described(tree)]
    for node in public(tree):
        if isinstance(node, ast.ClassDef):
            lines += ["", f"#### class `{node.name}`", "", *of_class(node)]
        else:
            lines += ["", f"#### `{node.name}`", "", *of_function(node.name, node)]
    return lines


def public(tree: ast.Module | ast.ClassDef) -> list[ast.ClassDef | ast.FunctionDef]:
    """The public classes and functions that a module or class defines, in the order of its lines."""
    return [
        node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
    ]


def of_class(cls: ast.ClassDef) -> list[str]:
    """Lines on a class: how it is made, its docstring, its properties and methods."""
    methods = {node.name: node for node in cls.body if isinstance(node, ast.FunctionDef)}
    fields = [ast.unparse(node) for node in cls.body if isinstance(node, ast.AnnAssign)]
    if "__init__" in methods:
        lines = code(signature(cls.name, methods["__init__"], returns=False))
    elif any(name.startswith("dataclass") for name in decorators(cls)):
        lines = code(call(cls.name, fields))
    else:
        lines = []
    lines += described(cls)
    properties = [node for node in public(cls) if decorators(node) & PROPERTIES]
    attributes = fields if "Protocol" in map(ast.unparse, cls.bases) else []
    if properties or attributes:
        lines += ["", "**Properties**", "", *(f"- `{attribute}`" for attribute in attributes)]
    for node in properties:
        told = f": {ast.unparse(node.returns)}" if node.returns else ""
        summary = " ".join(described(node))
        lines += [f"- `{node.name}{told}`" + (f": {summary}" if summary else "")]
    for node in public(cls):
        if not decorators(node) & PROPERTIES:
            lines += ["", f"##### `{cls.name}.{node.name}`", "", *of_function(f"{cls.name}.{node.name}", node)]
    return lines


def of_function(name: str, node: ast.FunctionDef) -> list[str]:
    return [*code(signature(name, node)), *described(node)]


def decorators(node: ast.FunctionDef | ast.ClassDef) -> set[str]:
    return {ast.unparse(decorator) for decorator in node.decorator_list}


def signature(name: str, node: ast.FunctionDef, returns: bool = True) -> str:
    """`name(arguments) -> result`."""
    arguments = [ast.unparse(ast.arguments([], [one], None, [], [], None, [])) for one in node.args.args]
    for n, default in enumerate(reversed(node.args.defaults), 1):
        arguments[-n] += f" = {ast.unparse(default)}"
    if arguments and node.args.args[0].arg in ("self", "cls"):
        del arguments[0]
    if node.args.vararg or node.args.kwonlyargs:
        arguments.append(f"*{ast.unparse(node.args.vararg) if node.args.vararg else ''}")
    for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        arguments.append(ast.unparse(argument) + (f" = {ast.unparse(default)}" if default else ""))
    if node.args.kwarg:
        arguments.append(f"**{ast.unparse(node.args.kwarg)}")
    result = f" -> {ast.unparse(node.returns)}" if returns and node.returns else ""
    return call(name, arguments, result)


def call(name: str, arguments: list[str], result: str = "") -> str:
    """A call with these arguments, over several lines if it is long."""
    whole = f"{name}({', '.join(arguments)}){result}"
    if len(whole) > WIDTH:
        whole = f"{name}(\n" + "".join(f"    {argument},\n" for argument in arguments) + f"){result}"
    return whole.replace("'", '"')


def code(text: str) -> list[str]:
    return ["```python", text, "```", ""]


def described(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> list[str]:
    """A docstring as Markdown: paragraphs, lists for arguments and errors, code as code."""
    lines: list[str] = []
    for block in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
        head, _, rest = block.partition("\n")
        lines += [""] if lines else []
        if head in SECTIONS:
            lines += [f"**{SECTIONS[head]}**", "", *items(rest)]
        elif head.startswith("    "):
            lines += code(textwrap.dedent(block))[:-1]
        elif head:
            lines += block.split("\n")
    return lines


def items(text: str) -> list[str]:
    """Indented lines `name: description`, some continued on lines of more indentation, as a list."""
    found: list[str] = []
    for line in textwrap.dedent(text).split("\n"):
        if line.startswith("    ") and found:
            found[-1] += f" {line.strip()}"
        elif named := re.match(r"((?:[\w`*]+(?:, )?)+): (.*)", line):
            names = ", ".join(f"`{name.strip('`')}`" for name in named[1].split(", "))
            found.append(f"- {names}: {named[2]}")
        elif found and not line[:1].isupper():
            found[-1] += f" {line.strip()}"
        else:
            found.append(f"- {line}")
    return found


if __name__ == "__main__":
    run_command(main)
