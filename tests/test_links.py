"""Every link, anchor, path and option in the documents leads somewhere. Nothing is asked of the network."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT
from documents import OPTION, anchors, documents, faults, split_code, text_of

EXAMPLES = {"models/sparse_plain.py"}  # files that a document shows how to make
OF_OTHERS = {  # options of programs that are not ours
    *("nproc_per_node", "nnodes", "max_restarts", "rdzv_endpoint", "nodes", "gpus-per-node"),
    *("logdir", "samples_per_plugin", "force-reinstall", "recount", "help", "fix", "check"),
    *("ema", "warmup", "clip_grad", "wave_loss"),  # of an earlier commit, whose figures docs/training.md keeps
}


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    assert [fault for fault in faults(path, text_of(path)) if fault.split(":")[0] not in EXAMPLES] == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a](docs/nowhere.md)", "docs/nowhere.md: no such file"),
        ("[a](../../etc/hosts)", "../../etc/hosts: no such file"),
        ("![a](docs/nothing.jpg)", "docs/nothing.jpg: no such file"),
        ("[a](docs/data.md#nothing)", "docs/data.md#nothing: no such heading"),
        ("[a\nb](#nothing)\n# Some thing", "#nothing: no such heading"),
        ("[a](http://example.org/x)", "http://example.org/x: not the form of an address"),
        ("[a](https://example/x)", "https://example/x: not the form of an address"),
        ("run `python scripts/nothing.py`", "scripts/nothing.py: no such file"),
        ("run\n\n    ./scripts/nothing.sh --help\n", "scripts/nothing.sh: no such file"),
        ("see `models/nothing/` and `models/sparse/`", "models/nothing/: no such file"),
        ("```sh\npython scripts/gone.py\n```\n", "scripts/gone.py: no such file"),
    ],
)
def test_what_leads_nowhere_is_found(text, fault):
    assert faults(ROOT / "README.md", text) == [fault]


def test_what_leads_somewhere_is_not_found():
    text = "# A `b`: c-d!\n[a](#a-b-c-d) [b](docs/data.md#layout) <https://example.org/a_(b)>"
    text += " `[c](nowhere.md)` `ckpt/<run>` `models/sparse/`"
    assert faults(ROOT / "README.md", text) == []


def test_anchors_are_those_of_github():
    text = "# On a GPU: counted, not measured\n## Same\n## Same\n### `a.b_c`\n```\n# no heading\n```\n## [Link](x.md) é"
    assert anchors(text) == {"on-a-gpu-counted-not-measured", "same", "same-1", "ab_c", "link-é"}


def test_options_exist():
    """Every `--option` in the code of a document is one of ours, or known as one of others."""
    sources = [path for ending in ("py", "sh") for path in ROOT.glob(f"scripts/**/*.{ending}")]
    text = "\n".join(path.read_text() for path in [*sources, ROOT / "arguments.py", ROOT / "jobs/options.py"])
    known = OF_OTHERS | set(re.findall(r"--([A-Za-z][\w-]*)", text))
    for path in documents():
        for span in split_code(text_of(path))[1]:
            unknown = set(OPTION.findall(span)) - known
            assert not unknown, f"{path.relative_to(ROOT)}: {unknown} in {span}"
