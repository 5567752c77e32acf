"""The page of a scene in a real browser: what is heard follows the listener, and what is seen does."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pytest
import soundfile
from browsing import check_log, open_page, picture
from screenshot import DRAWN, wait

from reports.recording_page import write_recording_page
from reports.scene_page import SCENE_HTML, SceneView, three_js

webdriver = pytest.importorskip("selenium.webdriver")
pytestmark = pytest.mark.skipif(not three_js(), reason="pythreejs is not installed: requirements-scene.txt")

RATE_HZ, SECONDS = 22050, 12
PLACES_M = {"violin": (-1.5, 0.9, 0.0), "cello": (1.5, 0.9, 0.0)}
AHEAD = "listener.place = [0, 1.6, 3]; listener.facing = 0; change();"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A scene of two musicians, each with a noise of its own; twice the violin is beyond full scale."""
    folder = tmp_path_factory.mktemp("scene")
    rng = np.random.default_rng(0)
    stems = {name: 0.1 * rng.standard_normal(SECONDS * RATE_HZ) for name in PLACES_M}
    stems["violin"][RATE_HZ] = 1.5
    for name, wave in [*stems.items(), ("song", sum(stems.values()))]:
        soundfile.write(folder / f"{name}.wav", wave, RATE_HZ, subtype="FLOAT")
    size, low, high = (0.15, 0.4, 0.12), (-9, 0, -9), (9, 1.8, 9)
    bodies = {name: rng.normal(place, size, (3000, 3)).clip(low, high) for name, place in PLACES_M.items()}
    clouds = {name: (body, np.full((3000, 3), (0.9, 0.3, 0.1))) for name, body in bodies.items()}
    files = {name: folder / f"{name}.wav" for name in stems}
    index = write_recording_page(folder / "report", folder / "song.wav", files, clouds, scene=SceneView(), about=["a"])
    return index.with_name(SCENE_HTML), stems


@pytest.fixture
def scene(browser, page):
    """The page, playing; afterwards nothing was complained of and nothing fetched."""
    open_page(browser, page[0])
    wait(browser, DRAWN)
    browser.find_element("id", "play").click()
    wait(browser, "return sound.time > 0.3")
    yield browser
    check_log(browser)


def levels(browser, script="", seconds=1.0):
    """Levels in dB at the left and the right ear after a script, the mean of some moments."""
    browser.execute_script(script)
    time.sleep(0.6)
    moments = []
    for _ in range(8):
        moments.append(browser.execute_script("return sound.levels()"))
        time.sleep(seconds / 8)
    return 10 * np.log10(np.mean(10 ** (np.array(moments) / 10), axis=0))


def eventually(check, seconds=40):
    """Calls a function of asserts until none fails: on a busy machine sounds and pictures come late."""
    end = time.monotonic() + seconds
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > end:
                raise


def test_the_recordings_page_links_it(browser, page):
    open_page(browser, page[0].with_name("index.html"))
    browser.find_element("link text", "Walk among the musicians and hear them in 3D").click()
    wait(browser, DRAWN)
    check_log(browser)


def test_the_ears_follow_the_listeners_turn(scene):
    def leans(script, to):
        scene.execute_script(script)

        def check():
            left, right = levels(scene)
            assert {"left": left > right + 3, "right": right > left + 3, "ahead": abs(left - right) < 1}[to]

        eventually(check)

    leans(AHEAD + "musicians[0].solo = true; change();", "left")  # where the violin is
    leans("listener.turn(Math.PI); change();", "right")
    leans("listener.goTo({place: [-1.5, 0, 3], facing: 0}); change();", "ahead")


def test_twice_the_distance_is_6_db_less(scene):
    scene.execute_script("musicians[0].solo = true; musicians[0].place = [0, 1.6, 0];")

    def check():
        near = levels(scene, "listener.place = [0, 1.6, 1.5]; listener.facing = 0; change();")
        far = levels(scene, "listener.place = [0, 1.6, 3]; change();")
        assert near - far == pytest.approx([6.02, 6.02], abs=0.7)
        assert levels(scene, "listener.place = [0, 1.6, 1]; change();") - near == pytest.approx([3.5, 3.5], abs=0.7)

    eventually(check)


def test_the_recording_is_as_loud_as_the_scene(scene):
    def check(script):
        in_3d = levels(scene, script, seconds=3)
        scene.find_element("id", "mixture").click()
        as_it_is = levels(scene)
        scene.find_element("id", "scene").click()
        assert 10 * np.log10(np.mean(10 ** (in_3d / 10)) / np.mean(10 ** (as_it_is / 10))) == pytest.approx(0, abs=1.5)

    for script in (AHEAD, "listener.place = [-1.5, 1.6, 1]; change();", "listener.place = [0, 1.6, 6]; change();"):
        eventually(partial(check, script))


def test_solo_mute_level_and_room(scene):
    def click(label):
        scene.find_element("css selector", f"[aria-label='{label}']").click()

    def check():
        controls = "const [l, r] = ['level', 'room'].map((id) => document.getElementById(id));"
        full = levels(scene, AHEAD + controls + "l.value = r.value = 0; l.oninput(); r.oninput();")
        for one in ("violin: mute", "cello: mute", "cello: solo"):
            if scene.find_element("css selector", f"[aria-label='{one}']").get_attribute("aria-pressed") == "true":
                click(one)
        full = levels(scene)
        click("violin: mute")
        left, right = levels(scene)
        assert right > left + 3 and left < full[0] - 2
        click("cello: mute")
        assert max(levels(scene)) < -100
        click("cello: solo")
        assert levels(scene) == pytest.approx([left, right], abs=0.7)
        louder = levels(scene, controls + "l.value = 6; l.oninput();")
        assert louder - (left, right) == pytest.approx([6, 6], abs=0.7)
        assert min(levels(scene, controls + "r.value = 100; r.oninput();") - louder) > 0.3

    eventually(check, seconds=60)


def test_pieces_join_without_a_seam(scene, page):
    """Samples of neighbouring pieces are those of the file, also those beyond full scale."""
    script = """
        const done = arguments[arguments.length - 1];
        Promise.all([0, 1].map((n) => sound.pieces.get(n))).then((pieces) =>
            done(pieces.map((tracks) => Array.from(tracks[1].getChannelData(0)))));
    """
    pieces = scene.execute_async_script(script)
    assert [len(piece) for piece in pieces] == [5 * RATE_HZ] * 2
    difference = np.concatenate(pieces) - page[1]["violin"][: 10 * RATE_HZ]
    assert np.abs(difference).max() < 1.5 * 2**-15


def test_it_plays_to_the_end_in_step_and_keeps_few_pieces(scene):
    scene.execute_script("document.getElementById('repeat').click()")
    scene.execute_script("sound.seek(9.3)")
    wait(scene, "return sound.time > 10.2")
    assert scene.execute_script("return sound.pieces.decoded.size") <= 3
    assert scene.execute_script("return sound.sources.size") <= 6
    wait(scene, "return !sound.isPlaying")
    assert scene.execute_script("return [sound.position, sound.sources.size]") == [0, 0]


def test_walking_turning_and_jumping(scene):
    place = "return [...listener.place, listener.facing]"
    scene.execute_script(AHEAD)

    def holds(key, seconds=0.5):
        webdriver.ActionChains(scene).key_down(key).pause(seconds).key_up(key).perform()
        return scene.execute_script(place)

    def walks():
        x, _, z, _ = holds("w")
        assert abs(x) < 0.05 and z < 2.9

    def turns():
        assert holds(webdriver.Keys.ARROW_LEFT)[3] > 0.05

    def walks_back():
        z = scene.execute_script(place)[2]
        button = scene.find_element("css selector", "[title='walk back']")
        webdriver.ActionChains(scene).click_and_hold(button).pause(0.5).release().perform()
        assert scene.execute_script(place)[2] > z + 0.05

    eventually(walks)
    eventually(turns)
    eventually(walks_back)
    before = scene.execute_script(place)
    view = scene.find_element("id", "view")
    webdriver.ActionChains(scene).move_to_element_with_offset(
        view, -100, 15 - view.size["height"] // 2
    ).click_and_hold().move_by_offset(80, 0).release().perform()
    assert scene.execute_script(place)[3] > before[3] + 0.1
    next(b for b in scene.find_elements("css selector", "#places button") if b.text == "beside cello").click()
    wait(scene, "return document.getElementById('where').textContent.includes('cello 1.0 m, ahead')")
    scene.execute_script("musicians.find(({ name }) => name === 'cello').moveTo(-6, -4); change();")
    next(b for b in scene.find_elements("css selector", "#places button") if b.text == "beside cello").click()
    assert scene.execute_script("return listener.place") == pytest.approx([-5, 1.6, -4])
    scene.execute_script("document.getElementById('back').click()")


def test_keys_walk_after_a_click_on_a_control(scene):
    place = "return [...listener.place]"
    for control in ("level", "repeat"):
        scene.find_element("id", control).click()

        def walks():
            before = scene.execute_script(place)
            webdriver.ActionChains(scene).key_down("w").pause(0.4).key_up("w").perform()
            assert scene.execute_script(place) != before

        eventually(walks)


def test_muting_everybody_leaves_the_recording_as_loud_as_it_is(scene):
    gain = "return sound.mixtureGain"
    scene.execute_script("sound.isPlaying || document.getElementById('play').click()")
    wait(scene, "return sound.time > 1")
    scene.execute_script("musicians.forEach((one) => { one.muted = true; }); change();")
    before = scene.execute_script(gain)
    scene.execute_script("for (let n = 0; n < 50; n++) sound.compare();")
    assert scene.execute_script(gain) == before
    scene.execute_script("musicians.forEach((one) => { one.muted = false; }); change();")


def test_a_musician_is_moved_in_the_picture_and_in_the_plan(scene):
    scene.execute_script(AHEAD)
    time.sleep(0.3)
    pixels = picture(scene, "#view").astype(int)
    red = (pixels[..., 0] > 150) & (pixels[..., 1] < 120)
    assert red.mean() > 0.002  # the musicians' colour
    ys, xs = np.nonzero(red & (np.arange(red.shape[1]) < red.shape[1] / 2))
    view = scene.find_element("id", "view")
    offset = int(np.median(xs)) - red.shape[1] // 2, int(np.median(ys)) - red.shape[0] // 2
    webdriver.ActionChains(scene).move_to_element_with_offset(view, *offset).click_and_hold().move_by_offset(
        60, 0
    ).release().perform()
    moved = scene.execute_script("return musicians.map((one) => one.place)")
    assert moved[0][0] > PLACES_M["violin"][0] + 0.2
    assert moved[1] == pytest.approx(PLACES_M["cello"], abs=0.05)
    scene.find_element("id", "back").click()
    plan = scene.find_element("id", "plan")
    scene.execute_script("arguments[0].scrollIntoView({block: 'center'})", plan)
    x, y = scene.execute_script("return plan.pixels(musicians[1].place)")
    start = round(x - plan.size["width"] / 2), round(y - plan.size["height"] / 2)
    webdriver.ActionChains(scene).move_to_element_with_offset(plan, *start).click_and_hold().move_by_offset(
        0, 40
    ).release().perform()
    expected = 40 / scene.execute_script("return plan.scale")
    assert scene.execute_script("return musicians[1].place[2]") == pytest.approx(expected, abs=0.15)


def test_everything_has_a_name_and_fits(sized, page):
    open_page(sized, page[0])
    wait(sized, DRAWN)
    assert sized.execute_script("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    for control in sized.find_elements("css selector", "button, input, meter, canvas"):
        assert control.accessible_name, control.get_attribute("outerHTML")
    sized.execute_script("listener.goTo(places[1]); change();")  # the audience
    assert wait(sized, "return document.querySelectorAll('#names span:not([hidden])').length === 2")
    check_log(sized)


def test_a_musician_with_a_track_goes_along_it_also_when_moved(scene):
    script = """
        const one = new Musician({name: "a", cloud: "", place_m: [0, 1, 0], track: [[0, 0, 1, 0], [2, 4, 1, 2]]});
        const places = [0.5, 1, 9].map((seconds) => { one.follow(seconds); return [...one.place]; });
        one.moveTo(10, 0);
        one.follow(1);
        return [...places, one.place, one.follow(1)];
    """
    assert scene.execute_script(script) == [[1, 1, 0.5], [2, 1, 1], [4, 1, 2], [8, 1, -1], False]


def test_a_piece_that_cannot_be_read_stops_the_page(browser, page):
    """The second piece fails once: the page says so and stops, and when asked again it plays on."""
    open_page(browser, page[0])
    wait(browser, DRAWN)
    browser.execute_script("""
        const read = Pieces.read;
        Pieces.read = (number) => {
          if (number !== 1) return read(number);
          Pieces.read = read;
          return Promise.reject(new Error("piece 1 cannot be read"));
        };
        window.unhandled = 0;
        window.addEventListener("unhandledrejection", () => { window.unhandled += 1; });
    """)
    browser.find_element("id", "play").click()
    wait(browser, "return byId('where').textContent === 'piece 1 cannot be read'")
    assert browser.execute_script("return [sound.isPlaying, window.unhandled]") == [False, 0]
    assert "play" in browser.find_element("id", "play").text
    browser.find_element("id", "play").click()
    wait(browser, "return sound.time > 5.3")
    check_log(browser)
