"""Data flows one way: utils <- dataset, models, runs <- main.py and scripts <- the package's commands."""

from __future__ import annotations

import ast

import pytest
from conftest import ROOT

OWN = ("benchmarks", "demo_data", "open_data")  # of the scripts
MAY_IMPORT = {
    "utils": {"utils"},
    "dataset": {"dataset", "utils"},
    "models": {"models", "utils"},
    "option_rules.py": {"models", "utils"},
    "arguments.py": {"models", "option_rules", "utils"},
    "runs": {"arguments", "runs", "utils"},
    "spatial": {"dataset", "spatial", "utils"},
    "reports": {"dataset", "reports", "runs", "utils"},
    "separation": {"arguments", "dataset", "models", "runs", "separation", "from_options", "utils"},
    "jobs": {"dataset", "jobs", "reports", "separation", "spatial", "utils"},
    "from_options.py": {"dataset", "models", "utils"},
    "evaluation.py": {"dataset", "models", "runs", "from_options", "utils"},
    "training.py": {"dataset", "models", "runs", "from_options", "utils"},
    "starting_weights.py": {"arguments", "models", "runs", "utils"},
    "main.py": {
        *("arguments", "dataset", "evaluation", "from_options", "models", "reports", "runs", "starting_weights"),
        *("training", "utils"),
    },
    "scripts": {
        *("arguments", "dataset", "jobs", "models", "reports", "runs", "separation", "spatial"),
        *("from_options", "training", "utils"),
        *OWN,
    },
    "package": {"main", "scripts", "utils"},
}
OURS = {
    *("arguments", "benchmarks", "dataset", "demo_data", "evaluation", "from_options", "jobs", "main", "models"),
    *("open_data", "option_rules", "reports", "runs", "scripts", "separation", "spatial", "starting_weights"),
    *("training", "utils"),
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


def test_of_runs_the_folder_alone_knows_options():
    """What else keeps a run on disk needs nothing above `utils`."""
    for path in (ROOT / "runs").glob("*.py"):
        assert path.name == "folder.py" or "arguments" not in set(imports(path)), path.name
