"""A page's folder: its own files, plotly, the data it shows; written as a whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plotly.offline import get_plotlyjs

from utils.errors import WriteError
from utils.files import finite

STATIC = Path(__file__).resolve().parent / "static"
DATA = "data.js"  # its presence says that a folder holds a page


@contextmanager
def writing_page(folder: Path) -> Iterator[tuple[Path, dict]]:
    """Yields a folder for the files of a page and an empty description of it; at the end both become `folder`.

    The description is what `static/page.js` shows. It has to get

        title: str. about: lines below it.
        scores: {columns, rows: [{name, values, signed}], notes}, or None.
        figures: [{file, title}].
        columns: [{key, label, signed}] of scores in dB.
        rows: [{index, name, instruments, values: {key: number or None}, media}], media from `reports.media` or None.

    A page that stood there before is replaced, and stays if anything fails.

    Raises:
        WriteError: the folder cannot be written, or holds something else.
    """
    if folder.exists() and not (folder / DATA).exists():
        raise WriteError(f"{folder}: holds something that is no report; choose another folder, or remove it")
    new, old, page = folder.with_name(f".{folder.name}.tmp"), folder.with_name(f".{folder.name}.old"), {}
    try:
        for left_over in (new, old):
            shutil.rmtree(left_over, ignore_errors=True)
        new.mkdir(parents=True)
        yield new, page
        for path in STATIC.iterdir():
            shutil.copyfile(path, new / path.name)
        (new / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
        (new / DATA).write_text(f"window.REPORT = {json.dumps(finite(page))};\n", encoding="utf-8")
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except BrokenPipeError:  # of standard output, while this was written
        raise
    except OSError as error:
        raise WriteError(f"{folder}: cannot be written ({error.strerror or error})") from error
    finally:
        for left_over in (new, old):
            shutil.rmtree(left_over, ignore_errors=True)
