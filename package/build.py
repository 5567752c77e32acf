"""How `pip install .` makes one package of the repository: setuptools' commands, changed where necessary.

In a clone, modules are imported as `utils`, `models`, `main`, ... Installed under these names they could collide with a
user's own modules, so the wheel holds them as `point_cloud_source_separation.utils` and so on. Their sources are
rewritten for this while the wheel is built. The only other name in the wheel is `separation`, which re-exports its
public names.
"""

from __future__ import annotations

import ast
import re
import runpy
import shutil
from collections.abc import Collection
from pathlib import Path

from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel
from setuptools.command.sdist import sdist
from setuptools.errors import SetupError

PACKAGE = "point_cloud_source_separation"
ROOT = Path(__file__).resolve().parent.parent
# The scripts that are installed -> their console commands, as pyproject.toml declares them.
COMMANDS = {
    "main": "pcss-train",
    "scripts/separate": "pcss-separate",
    "scripts/report": "pcss-report",
    "scripts/create_index_files": "pcss-create-index-files",
}
SCRIPT = re.compile(r"(?<![\w./])(?:python )?((?:scripts/)?\w+)\.py\b")  # in messages and help


def rewritten(source: str, own: Collection[str], file: str) -> str:
    """The source of a module as it is installed; every statement stays on its line.

    Imports of our own modules lead into the package, changes of `sys.path` are removed, and messages and help name a
    console command where they named its script.

    Args:
        own: top-level names by which a clone imports our modules.
        file: the module's, for the error.

    Raises:
        SetupError: `import` of one of our modules, where only `from ... import` can be rewritten.
    """
    lines = source.split("\n")
    for node in ast.walk(ast.parse(source, file)):
        line = getattr(node, "lineno", 0) - 1
        if isinstance(node, ast.ImportFrom) and not node.level and node.module.partition(".")[0] in own:
            before, rest = lines[line][: node.col_offset], lines[line][node.col_offset :]
            lines[line] = f"{before}from {PACKAGE}.{rest.removeprefix('from ')}"
        elif isinstance(node, ast.Import) and any(alias.name.partition(".")[0] in own for alias in node.names):
            raise SetupError(f"{file}:{line + 1}: write `from ... import`, which can be rewritten for the package")
        elif isinstance(node, ast.Expr) and ast.unparse(node).startswith("sys.path."):
            lines[line : node.end_lineno] = [""] * (node.end_lineno - line)
    return SCRIPT.sub(lambda found: COMMANDS.get(found[1], found[0]), "\n".join(lines))


class BuildPackage(build_py):
    """Puts our modules into the package, rewritten, and records the commit they come from."""

    def run(self) -> None:
        for name in {package.partition(".")[0] for package in self.packages}:  # what an earlier build left
            shutil.rmtree(Path(self.build_lib, name), ignore_errors=True)
        super().run()
        note_commit(Path(self.build_lib, PACKAGE))

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """(package, module, file) of every module of a package; of the scripts only those that are commands."""
        modules = super().find_package_modules(package, package_dir)
        if package == PACKAGE:
            return modules + [(package, name, f"package/{name}.py") for name in ("__init__", "commands")]
        if package == f"{PACKAGE}.scripts":
            return [module for module in modules if f"scripts/{module[1]}" in COMMANDS]
        return modules

    def build_module(self, module: str, module_file: str, package: str) -> tuple[str, bool]:
        built, copied = super().build_module(module, module_file, package)
        source = Path(module_file).read_text(encoding="utf-8")
        Path(built).write_text(rewritten(source, self.own_names(), module_file), encoding="utf-8")
        return built, copied

    def own_names(self) -> set[str]:
        """Top-level names by which a clone imports our modules."""
        folders = {package.split(".")[1] for package in self.packages if package.startswith(f"{PACKAGE}.")}
        return folders | {path.stem for path in ROOT.glob("*.py")}


class SourceArchive(sdist):
    """Records the commit in the archive too, because it is not a git checkout."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        note_commit(Path(base_dir))


class EditableInstall(editable_wheel):
    """Refuses an editable installation: what is installed is not the clone's sources but rewritten ones."""

    def run(self) -> None:
        raise SystemExit("error: pip install -e does not work here: run the scripts of the clone, or pip install .")


def note_commit(folder: Path) -> None:
    """Writes the commit of these sources, if it is known, where `utils/commit.py` of the package looks for it."""
    commit = runpy.run_path(str(ROOT / "utils" / "commit.py"))
    if known := commit["git_commit"]():
        (folder / commit["NOTED"]).write_text(f"{known}\n")
