"""Figures whose texts are data, such as names of files and instruments, in any script."""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure

from utils.files import replacing
from utils.progress import say

matplotlib.rcParams["text.parse_math"] = False  # two dollar signs in a name make no formula

# Fonts with Chinese, Japanese and Korean letters, for what matplotlib's own lacks.
MORE_FONTS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "WenQuanYi Zen Hei",
    "IPAGothic",
    "Droid Sans Fallback",
    "Unifont",
)
_installed = {font.name for font in font_manager.fontManager.ttflist}
matplotlib.rcParams["font.sans-serif"] += [name for name in MORE_FONTS if name in _installed]

_told: set[str] = set()


def save_figure(figure: Figure, path: str | Path, dpi: float) -> None:
    """Writes a figure as a picture, completely or not at all; says once if no font here has all its letters.

    Raises:
        WriteError: the picture cannot be written.
    """
    with replacing(path) as temporary, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.savefig(temporary, dpi=dpi)
    for warning in caught:
        if "missing from" not in str(warning.message):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        elif "fonts" not in _told:
            _told.add("fonts")
            say("note: no font here has all letters of the names in the pictures; Debian's fonts-noto-cjk has most")
