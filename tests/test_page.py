"""A page's folder: what is replaced in it, what stays, who else may write there."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from test_reports import files_of, page_data, runs, write_evaluation

from reports.comparison import write_comparison_page
from reports.run_page import write_run_page
from utils.errors import InputError, WriteError

__all__ = ["runs"]  # a fixture


def test_a_page_that_fails_leaves_the_one_before(tmp_path):
    run = write_evaluation(tmp_path / "run", 3.0, drawn=1)
    page = write_run_page(run)
    before = page_data(page)
    (mixture,) = (run / "visualization").iterdir()
    (mixture / "point1_frame1.ply").write_text("ply\n")
    with pytest.raises(InputError, match="point1_frame1.ply: cannot be read as a PLY point cloud"):
        write_run_page(run)
    assert page_data(page) == before and not list(run.glob(".report*"))


def test_a_folder_that_is_no_page_is_left_alone(runs, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(WriteError, match="mine: holds something that is no report"):
        write_comparison_page(runs, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()


@pytest.mark.parametrize("is_listed", [True, False])
def test_only_what_a_page_lists_is_replaced(runs, tmp_path, is_listed):
    """Files of the user's own stay, those of an earlier page go; a folder that merely holds a data.js is no page."""
    folder = tmp_path / "page"
    write_comparison_page(runs, folder)
    if not is_listed:
        (folder / "page.json").unlink()  # as pages once were
    (folder / "figures").mkdir(exist_ok=True)
    for name in ("notes.txt", "figures/of mine.svg", "data.json"):
        (folder / name).write_text("mine")
    media = next((folder / "mixtures").glob("*/*.mp3")).relative_to(folder)
    fewer = [write_evaluation(tmp_path / f"run{n}", 3.0, drawn=0) for n in range(2)]
    write_comparison_page(fewer, folder)
    assert [(folder / name).read_text() for name in ("notes.txt", "figures/of mine.svg", "data.json")] == ["mine"] * 3
    assert not (folder / media).exists() and page_data(folder / "index.html")["title"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "data.js").write_text("let mine = 1;")
    with pytest.raises(WriteError, match="other: holds something that is no report"):
        write_comparison_page(fewer, tmp_path / "other")
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == ["data.js"]


@pytest.mark.parametrize("listed", [["../thesis.txt"], ["/etc/passwd"], "index.html", [3]])
def test_lists_that_lie(runs, tmp_path, listed):
    (tmp_path / "thesis.txt").write_text("")
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "page.json").write_text(json.dumps({"files": listed}))
    (tmp_path / "page" / "mine.txt").write_text("")
    try:
        write_comparison_page(runs, tmp_path / "page")
    except WriteError as error:
        assert "holds something that is no report" in str(error)  # noqa: PT017
    assert (tmp_path / "thesis.txt").exists() and (tmp_path / "page" / "mine.txt").exists()


def test_a_link_to_a_page_stays_a_link(runs, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for _ in range(2):
        write_comparison_page(runs, tmp_path / "link")
        assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "index.html").exists()


def test_links_out_of_a_run_are_not_followed(tmp_path):
    run = write_evaluation(tmp_path / "run", 3.0, drawn=1)
    (mixture,) = (run / "visualization").iterdir()
    (tmp_path / "secret").write_text("root:x")
    (mixture / "mix.jpg").unlink()
    (mixture / "mix.jpg").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="mix.jpg: is outside .*; a page may use only the run's own files"):
        write_run_page(run)
    assert not (run / "report").exists()


def test_pages_written_at_once(tmp_path):
    """By eight threads: one whole page is left, and nothing beside it."""
    run = write_evaluation(tmp_path / "run", 3.0, drawn=0)
    with ThreadPoolExecutor(8) as pool:
        for page in pool.map(lambda _: write_run_page(run), range(24)):
            assert page == run / "report" / "index.html"
    data = page_data(run / "report" / "index.html")
    assert all(path.exists() for path in files_of(run / "report" / "index.html", data))
    assert sorted(path.name for path in run.glob(".*")) == []
