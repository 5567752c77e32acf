"""Markdown documents as GitHub reads them: their headings, links, code, and what these name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

from conftest import ROOT

OURS = ("dataset", "docs", "models", "reports", "runs", "scripts", "separation", "spatial", "tests", "utils")
ENDINGS = ("cff", "ipynb", "jpg", "md", "py", "sh", "toml", "txt")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^()\s<>]+)>?\s*\)|<(https?://[^>\s]+)>")
PATH = re.compile(rf"(?<![\w/.-])(?:\.?\./)*((?:{'|'.join(OURS)})/[\w./-]*\w(?:/|\.(?:{'|'.join(ENDINGS)})\b))")
FENCED = re.compile(r"^(```+).*?^\1`*\s*$", re.M | re.S)
OPTION = re.compile(r"(?<![\w-])--([A-Za-z][\w-]*)")


def documents() -> list[Path]:
    """Every Markdown file and notebook of the repository."""
    found = [*ROOT.glob("*.md"), ROOT / "data" / "README.md", ROOT / "ckpt" / "README.md"]
    return sorted(
        [*found, *(path for name in OURS for ending in ("md", "ipynb") for path in ROOT.glob(f"{name}/**/*.{ending}"))]
    )


def text_of(path: Path) -> str:
    """A document as Markdown; of a notebook the cells that are Markdown."""
    if path.suffix != ".ipynb":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def split_code(text: str) -> tuple[str, list[str]]:
    """The prose of a document, and its code: fenced and indented blocks, and spans."""
    code: list[str] = []

    def take(match: re.Match) -> str:
        code.append(match[0])
        return "\n"

    text = FENCED.sub(take, text)
    text = re.sub(r"(?:^|(?<=\n\n))(?:(?: {4,}|\t)[^\n]*(?:\n|$)|\n(?= {4}))+", take, text)
    text = re.sub(r"(`+)(?!`)((?:(?!\n\n).)+?)(?<!`)\1(?!`)", take, text, flags=re.S)
    return text, code


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings."""
    found: set[str] = set()
    for heading in re.findall(
        r"^#{1,6} +(.*?)\s*#*$", re.sub(r"^(```+).*?^\1`*\s*$", "", text, flags=re.M | re.S), re.M
    ):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        number, unique = 0, slug
        while unique in found:
            number += 1
            unique = f"{slug}-{number}"
        found.add(unique)
    return found


def faults(path: Path, text: str) -> list[str]:
    """What is wrong with the links of a document at `path`: nothing that is not there, no malformed address."""
    prose, code = split_code(text)
    found = []
    for target in (one or other for one, other in LINK.findall(prose)):
        if re.match(r"[a-z]+:", target):
            address = urlsplit(target)
            if address.scheme != "https" or "." not in address.netloc or re.search(r"[\s\\]", target):
                found.append(f"{target}: not the form of an address")
            continue
        place, _, anchor = target.partition("#")
        file = (path.parent / place).resolve() if place else path
        if not file.is_relative_to(ROOT) or not file.exists():
            found.append(f"{target}: no such file")
        elif anchor and anchor not in anchors(text_of(file) if place else text):
            found.append(f"{target}: no such heading")
    for left in re.findall(r"\]\([^)]*$|\]\[[^\]]*\]", prose, re.M):
        found.append(f"{left}: a link that is not read as one")
    for name in (name for span in code for name in PATH.findall(span)):
        if not (ROOT / name).exists():
            found.append(f"{name}: no such file")
    return found
