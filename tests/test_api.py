"""docs/api.md is what the code is: the names, signatures and docstrings of today."""

from __future__ import annotations

import importlib
import inspect
import re

import make_api
import pytest
from conftest import ROOT

import separation

PAGE = (ROOT / "docs" / "api.md").read_text()
MODULES = [name for names in make_api.PARTS.values() for name in names]


def test_the_page_is_of_today():
    assert make_api.page() == PAGE, "the code has changed: run python scripts/make_api.py"


def test_names_of_the_package_are_on_it():
    for name in separation.__all__:
        assert re.search(rf"^#### (class )?`{name}`$", PAGE, re.M), name


@pytest.mark.parametrize("name", MODULES)
def test_signatures_are_those_that_python_sees(name):
    """The page is made from the source; what is imported has the same public names and arguments."""
    module = importlib.import_module(name)
    section = PAGE.split(f"\n### `{name}`\n")[1].split("\n### ")[0].split("\n## ")[0]
    for public, member in vars(module).items():
        is_ours = getattr(member, "__module__", None) == name
        if public.startswith("_") or not is_ours or not (inspect.isclass(member) or inspect.isfunction(member)):
            continue
        assert re.search(rf"^#### (class )?`{public}`$", section, re.M), public
        for called, shown in callables(public, member):
            code = section.split(f"\n```python\n{shown}(", 1)[1].split("\n```\n")[0]
            names = [parameter for parameter in inspect.signature(called).parameters if parameter != "self"]
            assert [n for n in names if not re.search(rf"(^|[\s(*]){n}(:|,| = |\)|$)", code, re.M)] == [], shown


def callables(name, member):
    """What of a public name can be called, and how the page writes it."""
    if inspect.isfunction(member):
        yield member, name
        return
    if "__init__" in vars(member) and not getattr(member, "_is_protocol", False):
        yield member, name
    for method, function in vars(member).items():
        if not method.startswith("_") and (inspect.isfunction(function) or isinstance(function, classmethod)):
            yield getattr(member, method), f"{name}.{method}"


def test_shapes_are_told():
    """Whatever takes or gives an array or tensor says its shape, or whose it is."""
    untold = set()
    for block in re.split(r"^(?=#{4,5} )", PAGE, flags=re.M)[1:]:
        code = re.search(r"```python\n(.*?)\n```", block, re.S)
        if code and re.search(r"np\.ndarray|Tensor", code[1]) and not block.startswith("#### class"):
            told = block.split("\n```\n", 1)[1]
            if "[" not in told and not re.search(r"\b[Aa]s (in )?`|What `|scalar", told):
                untold.add(re.search(r"`(.*)`", block)[1])
    assert not untold
