"""Data flows one way: utils <- dataset, models <- main.py and scripts; nothing imports main.py or scripts."""

from __future__ import annotations

import ast

import pytest
from conftest import ROOT

OWN = ("benchmarks", "demo_data")  # of the scripts
MAY_IMPORT = {
    "utils": {"utils"},
    "dataset": {"dataset", "utils"},
    "models": {"models", "utils"},
    "arguments.py": {"models", "utils"},
    "run_folder.py": {"arguments", "utils"},
    "reports": {"dataset", "reports", "utils"},
    "separation": {"arguments", "dataset", "models", "run_folder", "separation", "utils"},
    "evaluation.py": {"dataset", "models", "utils"},
    "training.py": {"dataset", "models", "utils"},
    "main.py": {"arguments", "dataset", "evaluation", "models", "reports", "run_folder", "training", "utils"},
    "scripts": {
        *("arguments", "dataset", "models", "reports", "run_folder", "separation", "training", "utils"),
        *OWN,
    },
}
OURS = {
    *("arguments", "benchmarks", "dataset", "demo_data", "evaluation", "main", "models"),
    *("reports", "run_folder", "scripts", "separation", "training", "utils"),
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("place", MAY_IMPORT)
def test_imports_follow_the_flow(place):
    root = ROOT / place
    files = [root] if root.suffix else list(root.rglob("*.py"))
    assert files
    for path in files:
        wrong = set(imports(path)) & OURS - MAY_IMPORT[place]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"
