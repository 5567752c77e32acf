"""The wheel: what is in it, that it is the same from an archive of the sources, and that it stands alone."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT
from tools import needs

from package.build import COMMANDS, PACKAGE, rewritten

FOLDERS = ("dataset", "jobs", "models", "package", "reports", "runs", "scripts", "separation", "spatial", "utils")
OUR_NAMES = ("arguments", "dataset", "evaluation", "main", "models", "reports", "runs", "scripts", "training", "utils")
BIG = "must not be read"  # what stands for a large file


def run(*command, cwd=None, **env) -> subprocess.CompletedProcess:
    return subprocess.run(list(map(str, command)), cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True)


def build(source: Path, folder: Path) -> Path:
    """Builds the wheel of a clone or of an archive of the sources, without a network."""
    words = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, source)
    built = run(sys.executable, "-m", "pip", "wheel", *words)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A clone in a folder with a space in its name, where a user has worked: data, runs, weights, an earlier build."""
    root = tmp_path_factory.mktemp("built") / "my clone"
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", "*.pth", "*.json"))
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, root)
    needs("git")
    git = ("git", "-C", root, "-c", "user.name=A", "-c", "user.email=a@b")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "All"]):
        done = run(*git, *words)
        assert done.returncode == 0, done.stderr
    for name in ("data/audio/cello/1.wav", "ckpt/run/last.pth", "models/resnet18_pretrained.pth"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(BIG)
    stale = root / "build" / "lib" / PACKAGE / "removed.py"
    stale.parent.mkdir(parents=True)
    stale.write_text(BIG)
    return root


@pytest.fixture(scope="module")
def wheel(clone) -> Path:
    return build(clone, clone.parent / "wheel")


@pytest.fixture(scope="module")
def site(wheel) -> Path:
    """A folder where the wheel is installed, and nothing else."""
    folder = wheel.parent / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_holds_two_names_and_nothing_of_a_users(wheel):
    found = contents(wheel)
    names = {name.partition("/")[0] for name in found}
    assert {name for name in names if not name.endswith(".dist-info")} == {PACKAGE, "separation"}
    assert not [name for name, content in found.items() if BIG.encode() in content]
    assert not [name for name in found if "test" in name or "benchmark" in name or name.endswith(".pth")]
    data = {name.removeprefix(f"{PACKAGE}/") for name in found if not name.endswith(".py") and PACKAGE + "/" in name}
    static = {str(path.relative_to(ROOT)) for path in (ROOT / "reports" / "static").rglob("*") if path.is_file()}
    assert data == {*static, "separation/heads.txt", "separation/people.txt", "commit.txt"}


def test_every_module_of_the_clone_is_in_the_wheel(wheel):
    modules = {path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    modules = {path for path in modules if path.parts[0] not in ("scripts", "package")}
    modules |= {Path(f"{script}.py") for script in COMMANDS} | {path.relative_to(ROOT) for path in ROOT.glob("*.py")}
    modules |= {Path("__init__.py"), Path("commands.py")}
    installed = {Path(name) for name in contents(wheel) if name.endswith(".py")}
    assert installed == {PACKAGE / path for path in modules} | {Path("separation/__init__.py")}


def test_the_build_leaves_the_clone_clean_and_notes_its_commit(clone, about):
    status = run("git", "-C", clone, "status", "--porcelain")
    assert status.returncode == 0 and not status.stdout
    commit = run("git", "-C", clone, "rev-parse", "HEAD").stdout.strip()
    assert about["commit"] == commit and len(commit) == 40


def test_an_archive_of_the_sources_builds_the_same_wheel(clone, wheel):
    folder = clone.parent / "archive"
    command = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    built = run(sys.executable, "-c", command, cwd=clone)
    assert built.returncode == 0, built.stderr
    (archive,) = folder.glob("*.tar.gz")
    assert contents(build(archive, folder)) == contents(wheel)


@pytest.fixture(scope="module")
def about(site, tmp_path_factory) -> dict:
    """What `inside_wheel.py` tells in a folder where the user has modules of our names, which come first."""
    folder = tmp_path_factory.mktemp("user")
    for name in ("utils", "models", "dataset"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("USERS = __name__")
    (folder / "main.py").write_text("USERS = __name__")
    path = os.pathsep.join((str(folder), str(site)))
    found = run(sys.executable, "-P", ROOT / "tests" / "inside_wheel.py", cwd=folder, PYTHONPATH=path)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1])


def test_modules_import_beside_a_users_of_the_same_names(site, about):
    installed = [path.relative_to(site).with_suffix("") for path in (site / PACKAGE).rglob("*.py")]
    names = {".".join(path.parts).removesuffix(".__init__") for path in installed} - {PACKAGE}
    assert set(about["modules"]) - {f"{PACKAGE}.scripts"} == names
    if importlib.util.find_spec("triton"):
        assert names < set(about["loaded"])
    assert not set(OUR_NAMES) & set(about["loaded"])
    assert about["users"] == ["utils", "models", "dataset", "main"]
    public = {"Separator": f"{PACKAGE}.separation.separator", "PortableSeparator": f"{PACKAGE}.separation.portable"}
    assert about["public"] == public and not about["portable_needs_torch"]
    assert about["launched"] == ["-P", "-m", f"{PACKAGE}.main"]


def test_no_text_of_the_wheel_is_the_path_of_a_module(site):
    """Such as "models.sparse": a name that is looked up while a command runs would not be found."""
    paths = [path.relative_to(site / PACKAGE).with_suffix("") for path in (site / PACKAGE).rglob("*.py")]
    known = {".".join(path.parts).removesuffix(".__init__") for path in paths if len(path.parts) > 1}
    known -= set(OUR_NAMES)  # words of their own, such as "runs"
    assert "models.sparse" in known
    for path in site.rglob("*.py"):
        texts = {n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)}
        assert not texts & known, path


def test_console_commands_name_themselves(about):
    assert set(about["help"]) == set(COMMANDS.values())
    for name, shown in about["help"].items():
        assert shown.startswith(f"usage: {name} ") and ".py" not in shown, shown
    for name, shown in about["wrong"].items():
        assert shown.startswith("error: ") and shown.endswith(f"; {name} --help lists the options\n"), shown


def test_an_editable_install_is_refused_in_one_line(clone):
    words = ("-c", "from setuptools import build_meta; build_meta.build_editable('unused')")
    refused = run(sys.executable, *words, cwd=clone)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("error: pip install -e does not work here")


def test_what_is_rewritten():
    source = """'''Run `python scripts/report.py RUN`, or other.py.'''
import sys
sys.path.insert(0, "..")
from utils.files import (
    read,
)
from utilsother import utils
def later():
    from models import sparse  # from models import
    print("utils.files", f"{sys.argv} main.py --mode eval")
"""
    lines = rewritten(source, ("utils", "models"), "a.py").split("\n")
    expected = source.split("\n")
    expected[0] = "'''Run `pcss-report RUN`, or other.py.'''"
    expected[2] = ""
    expected[3] = f"from {PACKAGE}.utils.files import ("
    expected[8] = f"    from {PACKAGE}.models import sparse  # from models import"
    expected[9] = '    print("utils.files", f"{sys.argv} pcss-train --mode eval")'
    assert lines == expected


def test_an_import_that_cannot_be_rewritten_ends_the_build():
    with pytest.raises(Exception, match="a.py:2: write `from ... import`"):
        rewritten("import os\nimport utils.files\n", ("utils",), "a.py")
