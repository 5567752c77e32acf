"""Pages in a real browser: they load, play, sort and draw, from disk, and fetch nothing from a network."""

from __future__ import annotations

import io
import re
import time

import numpy as np
import pytest
import soundfile
from browsing import NO_SELENIUM, check_log, open_page, picture
from PIL import Image
from screenshot import DRAWN, wait
from test_reports import write_evaluation

from reports.comparison import write_comparison_page
from reports.recording_page import write_recording_page
from reports.run_page import write_run_page
from reports.scene_page import SceneView
from utils.metrics import METRICS

webdriver = pytest.importorskip("selenium.webdriver", reason=NO_SELENIUM)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("ckpt")
    runs = [write_evaluation(root / name, sdr, unscored=(2,)) for name, sdr in (("first", 3.0), ("second", 5.0))]
    write_comparison_page(runs, root / "comparison")
    for run in runs:
        write_run_page(run)
    return runs


@pytest.fixture
def page(browser, runs):
    """The page of a run, loaded again; afterwards no errors were logged and nothing was fetched."""
    load(browser, runs[0] / "report" / "index.html")
    yield browser
    check_log(browser)


def load(browser, path):
    open_page(browser, path)
    wait(browser, "return document.querySelectorAll('tr.row').length || document.querySelector('.opened') !== null")


def click(browser, selector, number=0):
    browser.find_elements("css selector", selector)[number].click()


def open_row(browser, index):
    click(browser, f'tr.row[data-index="{index}"]')
    wait(browser, "return document.querySelector('.opened audio') !== null")
    # Slowly, so that a busy machine looks before the end of the sound.
    browser.execute_script("document.querySelectorAll('audio').forEach(audio => { audio.playbackRate = 0.1; })")


def sounds(browser):
    """Position and whether it plays, of every sound."""
    return browser.execute_script("return [...document.querySelectorAll('audio')].map(a => [a.currentTime, !a.paused])")


def test_it_shows_the_run(page):
    assert page.title == "first" and "5 mixtures of data/val.csv" in page.find_element("id", "about").text
    scores = page.find_element("id", "scores").text
    assert "mixture" in scores and "improvement" in scores and "4 scored mixtures; 1 unscored" in scores
    loaded = "return [...document.querySelectorAll('#figures img')].every(i => i.complete && i.naturalWidth > 100)"
    page.execute_script("window.scrollTo(0, 600)")
    assert wait(page, loaded) and len(page.find_elements("css selector", "#figures img")) == 5


def test_sounds_play_and_switch_in_place(page):
    open_row(page, 0)
    ready = "return [...document.querySelectorAll('audio')].every(a => a.readyState >= 3)"
    wait(page, ready)
    assert len(sounds(page)) == 5 and not any(playing for _, playing in sounds(page))
    click(page, ".play")
    wait(page, "return document.querySelector('audio').currentTime > 0.1")
    assert [playing for _, playing in sounds(page)] == [True, False, False, False, False]
    before = sounds(page)[0][0]
    click(page, ".track figcaption button", 2)  # the truth of the first source
    wait(page, "return !document.querySelectorAll('audio')[2].paused")
    (_, first_plays), _, (position, plays), *_ = sounds(page)
    assert plays and not first_plays and before <= position < before + 0.7
    assert "playing" in page.find_elements("css selector", ".track")[2].get_attribute("class")
    click(page, ".play")
    stopped = sounds(page)[2]
    assert not stopped[1]
    click(page, ".track figcaption button", 1)
    wait(page, "return document.querySelectorAll('.track')[1].classList.contains('playing')")
    assert sounds(page)[1] == [pytest.approx(stopped[0], abs=0.01), False]  # in place, and still


def test_a_click_on_a_picture_goes_there(page):
    open_row(page, 1)
    wait(page, "return [...document.querySelectorAll('audio')].every(a => a.readyState >= 3)")
    area = page.find_elements("css selector", ".track .area")[1]
    webdriver.ActionChains(page).move_to_element_with_offset(area, area.size["width"] // 4, 0).click().perform()
    wait(page, "return document.querySelectorAll('audio')[1].currentTime > 0.5")
    assert sounds(page)[1][0] == pytest.approx(0.75 * 16383 / 11025, abs=0.03)
    heads = page.execute_script("return [...document.querySelectorAll('.head')].map(h => h.style.left)")
    assert all(float(left.rstrip("%")) == pytest.approx(75, abs=2) for left in heads)


def test_only_one_row_plays(page):
    open_row(page, 0)
    open_row(page, 1)
    click(page, ".play", 0)
    wait(page, "return !document.querySelectorAll('audio')[0].paused")
    click(page, ".play", 1)
    wait(page, "return !document.querySelectorAll('audio')[5].paused")
    assert sum(playing for _, playing in sounds(page)) == 1
    click(page, "tr.row.open", 1)  # a row that is closed is silent
    assert not any(playing for _, playing in sounds(page))


@pytest.mark.parametrize("column", range(2, 10))
def test_sorting_sorts(page, column):
    """The best scores come first: of distances, the last two columns, the lowest."""

    def values():
        cells = page.find_elements("css selector", f"tr.row td:nth-child({column + 1})")
        return [cell.text.replace("\u2212", "-") for cell in cells]

    for descending in (True, False) if column < 8 else (False, True):
        click(page, "#mixtures th button", column)
        *numbers, unscored = values()
        numbers = [float(text) for text in numbers]
        assert unscored == "\u2013" and len(numbers) == 4
        assert numbers == sorted(numbers, reverse=descending)
        ordered = page.find_elements("css selector", "#mixtures th")[column].get_attribute("aria-sort")
        assert ordered == ("descending" if descending else "ascending")


def test_filtering_filters(page):
    next(option for option in page.find_elements("css selector", "#filter option") if option.text == "guitar").click()
    shown = [row.text for row in page.find_elements("css selector", "tr.row")]
    assert len(shown) == 2 and all("guitar" in text for text in shown)
    assert page.find_element("id", "count").text == "2 of 5"


def test_a_row_stays_with_what_it_opened(page):
    open_row(page, 3)
    click(page, "#mixtures th button", 3)
    followed = "return document.querySelector('tr.row.open').nextElementSibling.className"
    assert page.execute_script(followed) == "detail"
    click(page, "tr.row.open")
    assert not page.find_elements("css selector", ".detail")


def test_clouds_are_drawn(page):
    open_row(page, 0)
    wait(page, DRAWN)
    page.execute_script("document.querySelector('.view').scrollIntoView({block: 'center'})")
    time.sleep(0.5)
    pixels = picture(page, ".view")
    colourful = (pixels.max(axis=2).astype(int) - pixels.min(axis=2)) > 60
    assert colourful.mean() > 0.02  # points of random colours
    view = page.find_element("css selector", ".view")
    webdriver.ActionChains(page).click_and_hold(view).move_by_offset(60, 0).release().perform()
    time.sleep(0.7)
    assert np.abs(picture(page, ".view").astype(int) - pixels).mean() > 1  # it turned


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_a_phone_and_the_night(page, scheme, width):
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    try:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        open_row(page, 0)
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
        widest = "return Math.max(...[...document.querySelectorAll('.opened, .track')].map(e => e.clientWidth))"
        assert page.execute_script(widest) <= width
        ground = page.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, ground[4:-1].split(","))) < 200) == (scheme == "dark")
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def whole_tables(browser):
    return browser.execute_script(
        "return [...document.querySelectorAll('.scroll')].every(e => e.scrollWidth <= e.clientWidth)"
    )


def coloured_at_the_edges(browser):
    """Shares of the pixels of each view's four edges that are a point's."""
    shares = []
    for view in browser.find_elements("css selector", ".view"):
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", view)
        time.sleep(0.5)
        pixels = np.asarray(Image.open(io.BytesIO(view.screenshot_as_png)))[..., :3].astype(int)
        colourful = pixels.max(axis=2) - pixels.min(axis=2) > 60
        assert colourful.mean() > 0.01
        shares += [part.mean() for part in (colourful[:5], colourful[-5:], colourful[:, :5], colourful[:, -5:])]
    return shares


def test_all_columns_and_whole_clouds_at_any_width(sized, runs):
    load(sized, runs[0] / "report" / "index.html")
    assert whole_tables(sized)
    cells = sized.find_elements("css selector", "#scores tbody tr:first-child td[data-label]")
    assert [cell.get_attribute("data-label") for cell in cells] == [metric.label for metric in METRICS.values()]
    width = sized.execute_script("return document.documentElement.clientWidth")
    assert all(cell.is_displayed() and cell.rect["x"] + cell.rect["width"] <= width for cell in cells)
    open_row(sized, 0)
    wait(sized, DRAWN)
    assert whole_tables(sized)
    row = sized.find_element("css selector", "tr.row")
    values = row.find_elements("css selector", "td[data-label]")
    assert (
        len(values) == len(METRICS) + 2
        and values[-1].rect["x"] + values[-1].rect["width"] <= row.rect["x"] + row.rect["width"] + 1
    )
    assert max(coloured_at_the_edges(sized)) == 0
    check_log(sized)


def people(count):
    rng = np.random.default_rng(0)
    bodies = rng.normal((0, 0.9, 0), (0.15, 0.4, 0.12), (count, 2000, 3)).clip((-1, 0, -1), (1, 1.75, 1))
    return {f"player {n}": (body + (1.3 * n, 0, 0), rng.random((2000, 3))) for n, body in enumerate(bodies)}


@pytest.mark.parametrize("count", [1, 4])
def test_a_whole_scene_at_any_width(sized, tmp_path, count):
    soundfile.write(tmp_path / "song.wav", np.zeros(22050), 22050)
    stems = dict.fromkeys(people(count), tmp_path / "song.wav")
    song, clouds = tmp_path / "song.wav", people(count)
    load(sized, write_recording_page(tmp_path / "page", song, stems, clouds, scene=SceneView(), about=["a"]))
    wait(sized, DRAWN)
    assert max(coloured_at_the_edges(sized)) == 0
    check_log(sized)


@pytest.mark.parametrize(
    ("value", "text", "name"),
    [
        *((-0.001, "0.00", ""), (0.004, "0.00", ""), (0, "0.00", ""), ("null", "\u2013", "")),
        *((-0.006, "\u22120.01", "worse"), (0.006, "+0.01", "better"), (-12.3, "\u221212.30", "worse")),
    ],
)
def test_differences_that_round_to_nothing_have_no_colour(page, value, text, name):
    found = page.execute_script(f"const e = difference({value}); return [e.textContent, e.className]")
    assert found == [text, name]


def test_one_sort_of_minus(browser, runs):
    for path in (runs[0] / "report" / "index.html", runs[0].parent / "comparison" / "index.html"):
        load(browser, path)
        for row in range(2):
            open_row(browser, row)
        assert not re.search(r"(?<!\w)[-\u2013]\d", browser.find_element("css selector", "body").text)


def test_a_comparison(browser, runs):
    load(browser, runs[0].parent / "comparison" / "index.html")
    heads = [head.text for head in browser.find_elements("css selector", "#mixtures th")]
    assert heads[2:] == ["SDR before", "SDR first", "SDR second", "second \u2212 first"]
    assert "second less first: SDR" in browser.find_element("id", "scores").text
    open_row(browser, 0)
    assert len(sounds(browser)) == 7
    wait(browser, DRAWN)
    check_log(browser)


def test_the_page_of_a_scene(browser, tmp_path):
    t = np.arange(2 * 22050) / 22050
    for name, hz in (("song", 300), ("violin", 600), ("cello", 200)):
        soundfile.write(tmp_path / f"{name}.wav", 0.3 * np.sin(2 * np.pi * hz * t), 22050)
    stems = {name: tmp_path / f"{name}.wav" for name in ("violin", "cello")}
    rng = np.random.default_rng(0)
    clouds = {name: (rng.normal((n, 1, 0), 0.2, (500, 3)), rng.random((500, 3))) for n, name in enumerate(stems)}
    page = write_recording_page(
        tmp_path / "report", tmp_path / "song.wav", stems, clouds, scene=SceneView(), about=["a"]
    )
    load(browser, page)
    wait(browser, "return [...document.querySelectorAll('audio')].every(a => a.readyState >= 3)")
    assert [figure.text for figure in browser.find_elements("css selector", ".track figcaption")] == ["mixture", *stems]
    assert len(browser.find_elements("css selector", ".area.wave img")) == 3
    click(browser, ".play")
    wait(browser, "return document.querySelector('audio').currentTime > 0.3")
    click(browser, ".track figcaption button", 2)
    wait(browser, "return document.querySelectorAll('audio')[2].currentTime > 0.3")
    wait(browser, DRAWN)
    assert len(browser.find_elements("css selector", ".view")) == 1
    check_log(browser)
