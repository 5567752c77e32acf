"""Documents that list what there is are complete: the README, the layout of the code, the commands, the notebook."""

from __future__ import annotations

import json
import re
import tomllib

from conftest import ROOT
from documents import anchors, text_of

PACKAGES = ("dataset", "jobs", "models", "reports", "runs", "separation", "spatial", "utils")
HELPERS = {"python.sh", "usage.sh", "demo_common.sh"}  # of other scripts


def layout() -> set[str]:
    """The files and folders that the layout in docs/architecture.md names."""
    section = (ROOT / "docs" / "architecture.md").read_text().split("\n## Layout of the code\n")[1].split("\n## ")[0]
    found: set[str] = set()
    folders: list[tuple[int, str]] = []
    for line in re.findall(r"^ {4,}\S.*$", section, re.M):
        indent = len(line) - len(line.lstrip())
        names = re.split(r" {2,}", line.strip())[0]
        if indent % 2:  # a heading within a folder
            continue
        while folders and folders[-1][0] >= indent:
            folders.pop()
        inside = folders[-1][1] if folders else ""
        found |= {inside + name for name in names.split(", ")}
        if names.endswith("/") and ", " not in names:
            folders.append((indent, inside + names))
    return found


def test_the_layout_names_every_module_and_nothing_else():
    modules = {path.name for path in ROOT.glob("*.py")}
    for package in PACKAGES:
        modules |= {
            str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py") if path.name != "__init__.py"
        }
    listed = layout()
    assert {name for name in listed if name.endswith(".py")} == modules
    assert all((ROOT / name).exists() for name in listed), [name for name in listed if not (ROOT / name).exists()]


def test_every_command_is_listed_and_every_listed_one_exists():
    listed = re.findall(r"^\| `([\w.]+)` \|", (ROOT / "scripts" / "README.md").read_text(), re.M)
    there = {path.name for ending in ("py", "sh") for path in (ROOT / "scripts").glob(f"*.{ending}")}
    assert len(listed) == len(set(listed)) and set(listed) == there - HELPERS
    assert there >= HELPERS


def test_every_part_of_the_benchmark_is_listed():
    from benchmark import PARTS

    assert f"`{' '.join(PARTS)}`" in (ROOT / "scripts" / "README.md").read_text()


def test_readme_is_one_page_and_links_every_document():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 140
    for path in [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*.ipynb"), *ROOT.glob("*.md")]:
        name = str(path.relative_to(ROOT))
        assert name == "README.md" or f"]({name})" in text, name


def test_pages_list_their_sections():
    """A page with several sections begins with links to all of them, in their order; the API's has parts of its own."""
    for path in [*(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "scripts" / "README.md"]:
        text = text_of(path)
        listed = re.findall(r"^- \[.*\]\(#(.*)\)$", text, re.M)
        headings = re.findall(r"^## (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
        assert listed == [next(iter(anchors(f"## {heading}"))) for heading in headings], path.name


def test_the_notebook_holds_no_outputs():
    for cell in json.loads((ROOT / "docs" / "tour.ipynb").read_text())["cells"]:
        assert cell["cell_type"] == "markdown" or (cell["outputs"] == [] and cell["execution_count"] is None)


def test_one_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert version in (ROOT / "CHANGELOG.md").read_text()
