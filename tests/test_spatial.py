"""Renderings are right: levels, times and directions at the ears, in ambisonics and at loudspeakers."""

from __future__ import annotations

import numpy as np
import pytest

from spatial import Listener, Path, render
from spatial.ambisonics import Ambisonics
from spatial.geometry import angles_of, directions_of, seen_from
from spatial.loudspeakers import LAYOUTS, Loudspeakers
from utils.errors import InputError

RATE_HZ = 48000
ORIGIN = np.zeros(3)
LEFT, RIGHT, AHEAD, BEHIND = (-2.0, 0, 0), (2.0, 0, 0), (0, 0, -2.0), (0, 0, 2.0)
MIRRORED = {"stereo": [1, 0], "5.1": [1, 0, 2, 3, 5, 4], "7.1.4": [1, 0, 2, 3, 5, 4, 7, 6, 9, 8, 11, 10]}
TO_EACH = [("binaural", "hrtf"), ("ambisonics", None), ("stereo", None), ("5.1", None), ("7.1.4", None)]


@pytest.fixture(scope="module")
def wave():
    return np.random.default_rng(0).standard_normal(RATE_HZ // 2).astype(np.float32) * 0.1


@pytest.fixture(scope="module")
def sofa(tmp_path_factory):
    """A SOFA file at 48 kHz of KEMAR as slab has it, and what it holds: responses `[M, 2, taps]`, angles `[M, 2]`."""
    sofar = pytest.importorskip("sofar", reason="sofar is not installed: requirements-3d.txt")
    slab = pytest.importorskip("slab", reason="slab is not installed: requirements-3d.txt")
    soxr = pytest.importorskip("soxr")
    kemar = slab.HRTF.kemar()
    responses = np.stack([soxr.resample(one.data, kemar.samplerate, RATE_HZ).T for one in kemar.data])
    azimuth, elevation, _ = angles_of(kemar.sources.cartesian)
    file = sofar.Sofa("SimpleFreeFieldHRIR")
    file.Data_IR, file.Data_SamplingRate = responses, RATE_HZ
    file.SourcePosition = np.stack([azimuth % 360, elevation, np.full(len(azimuth), 1.4)], axis=1)
    path = tmp_path_factory.mktemp("hrtf") / "kemar.sofa"
    sofar.write_sofa(path, file)
    return path, responses, np.stack([azimuth, elevation], axis=1)


def energy_db(rendered):
    return 10 * np.log10(np.square(rendered, dtype=np.float64).sum(axis=-1) + 1e-20)


def lag(rendered):
    """Samples by which the left ear is earlier than the right."""
    left, right = rendered
    size = 2 * rendered.shape[1]
    correlation = np.fft.irfft(np.conj(np.fft.rfft(left, size)) * np.fft.rfft(right, size))
    return (int(correlation.argmax()) + size // 2) % size - size // 2


@pytest.mark.parametrize("azimuth", [90, -90, 45, 0, 180])
def test_interaural_differences_are_those_of_the_sofa_file(sofa, azimuth):
    path, responses, angles = sofa
    difference = (angles[:, 0] - azimuth + 180) % 360 - 180
    number = int((np.abs(difference) + np.abs(angles[:, 1])).argmin())
    place = 2 * directions_of(*angles[number])  # ahead, left, up
    impulse = np.zeros((1, 4096), dtype=np.float32)
    impulse[0, 0] = 1
    heard = render(impulse, RATE_HZ, [[-place[1], place[2], -place[0]]], Listener(ORIGIN), hrtf=path)
    expected = responses[number]
    levels, right_levels = energy_db(heard), energy_db(expected)
    assert levels[0] - levels[1] == pytest.approx(right_levels[0] - right_levels[1], abs=0.5)
    assert levels == pytest.approx(right_levels - 20 * np.log10(2), abs=0.5)
    assert abs(lag(heard) - lag(expected)) <= 1
    arrival = int(np.abs(heard[0]).argmax()) - int(np.abs(expected[0]).argmax())
    assert abs(arrival - 2 / 343 * RATE_HZ) <= 1
    if azimuth == 90:
        assert levels[0] > levels[1] + 3 and lag(heard) > 0.0004 * RATE_HZ


def test_a_turn_by_180_degrees_swaps_the_ears(sofa, wave):
    straight = render(wave[None], RATE_HZ, [LEFT], Listener(ORIGIN), hrtf=sofa[0])
    turned = render(wave[None], RATE_HZ, [LEFT], Listener(ORIGIN, 180), hrtf=sofa[0])
    other = render(wave[None], RATE_HZ, [RIGHT], Listener(ORIGIN), hrtf=sofa[0])
    assert np.abs(turned - other).max() < 1e-6
    assert energy_db(turned) == pytest.approx(energy_db(straight)[::-1], abs=1)  # KEMAR is not quite symmetric


@pytest.mark.parametrize(("to", "hrtf"), TO_EACH)
def test_twice_the_distance_is_6_db_less_and_later(sofa, wave, to, hrtf):
    hrtf = sofa[0] if hrtf else None
    impulse = np.zeros((1, RATE_HZ // 10), dtype=np.float32)
    impulse[0, 0] = 1
    near = render(impulse, RATE_HZ, [AHEAD], Listener(ORIGIN), to, hrtf=hrtf)
    far = render(impulse, RATE_HZ, [2 * np.array(AHEAD)], Listener(ORIGIN), to, hrtf=hrtf)
    assert near.shape == far.shape and near.shape[1] == impulse.shape[1]
    assert energy_db(near.ravel()) - energy_db(far.ravel()) == pytest.approx(6.02, abs=0.01)
    assert np.abs(far).max(axis=0).argmax() - np.abs(near).max(axis=0).argmax() == pytest.approx(280, abs=1)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("place", [LEFT, BEHIND, (1.0, 1.5, -1.0)])
def test_ambisonics_is_loudest_in_the_sources_direction(wave, order, place):
    field = render(wave[None], RATE_HZ, [place], Listener(ORIGIN), "ambisonics", order=order)
    assert field.shape == ((order + 1) ** 2, len(wave))
    azimuth, elevation = np.meshgrid(np.arange(-180, 180, 5.0), np.arange(-85, 90, 5.0))
    grid = directions_of(azimuth.ravel(), elevation.ravel())
    degrees = np.floor(np.sqrt(np.arange(len(field))))
    beams = (Ambisonics(order).filters(grid)[..., 0] * (2 * degrees + 1)) @ field
    seen = seen_from(np.array([place]), ORIGIN, 0)[0]
    loudest = grid[energy_db(beams).argmax()]
    assert np.degrees(np.arccos(loudest @ seen / np.linalg.norm(seen))) < 5


def test_ambix_channels_by_their_formulas():
    azimuth, elevation = np.array([30.0, -120]), np.array([20.0, -50])
    a, e = np.radians(azimuth), np.radians(elevation)
    expected = {  # ACN: SN3D, as AmbiX (Nachbar et al., 2011) has them
        0: np.ones(2),
        1: np.sin(a) * np.cos(e),
        2: np.sin(e),
        3: np.cos(a) * np.cos(e),
        4: np.sqrt(3 / 4) * np.sin(2 * a) * np.cos(e) ** 2,
        6: (3 * np.sin(e) ** 2 - 1) / 2,
        8: np.sqrt(3 / 4) * np.cos(2 * a) * np.cos(e) ** 2,
        9: np.sqrt(5 / 8) * np.sin(3 * a) * np.cos(e) ** 3,
        13: np.sqrt(3 / 8) * np.cos(a) * np.cos(e) * (5 * np.sin(e) ** 2 - 1),
    }
    gains = Ambisonics(3).filters(directions_of(azimuth, elevation))[..., 0]
    for channel, values in expected.items():
        assert gains[:, channel] == pytest.approx(values, abs=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_source_at_a_loudspeaker_sounds_there_alone(layout):
    speakers = LAYOUTS[layout]
    for number, angles in enumerate(speakers.values()):
        if angles:
            gains = Loudspeakers(layout).filters(directions_of(*np.array([angles], dtype=float).T))[0, :, 0]
            assert gains == pytest.approx(np.eye(len(speakers))[number], abs=1e-6)


@pytest.mark.parametrize("layout", ["stereo", *LAYOUTS])
def test_loudspeakers_share_a_power_of_one_and_mirror(layout):
    azimuth, elevation = (part.ravel() for part in np.meshgrid(np.arange(-180, 180, 7.0), np.arange(-90, 91, 15.0)))
    panner = Loudspeakers(layout)
    gains = panner.filters(directions_of(azimuth, elevation))[..., 0]
    assert (gains >= 0).all() and np.square(gains).sum(axis=1) == pytest.approx(np.ones(len(gains)), abs=1e-5)
    azimuth, elevation = (part.ravel() for part in np.meshgrid(np.arange(-180, 181, 10.0), np.arange(-90, 91, 10.0)))
    left = panner.filters(directions_of(azimuth, elevation))[..., 0]
    right = panner.filters(directions_of(-azimuth, elevation))[..., 0]
    assert np.abs(left - right[:, MIRRORED[layout]]).max() < 1e-5
    at_20 = panner.filters(directions_of(np.array([20.0]), np.array([0.0])))[0, :, 0]
    assert at_20[0] > at_20[1]


@pytest.mark.parametrize("layout", ["stereo", *LAYOUTS])
def test_below_the_loudspeakers_is_as_at_their_height(layout):
    azimuth = np.arange(-180, 180, 10.0)
    panner = Loudspeakers(layout)
    at_ears = panner.filters(directions_of(azimuth, 0 * azimuth))
    for elevation in (-17.0, -60.0) if layout == "7.1.4" else (-17.0, -60.0, 17.0, 60.0):
        gains = panner.filters(directions_of(azimuth, np.full_like(azimuth, elevation)))
        assert np.abs(gains - at_ears).max() < 1e-5
    (ahead, to_the_left) = panner.filters(directions_of(np.array([0.0, 90.0]), np.full(2, -17.0)))[..., 0]
    if layout == "stereo":
        assert to_the_left == pytest.approx([1, 0], abs=1e-6)
    else:
        assert ahead[2] == pytest.approx(1) and np.delete(ahead, 2).max() < 1e-6


@pytest.mark.parametrize(("to", "hrtf"), TO_EACH)
def test_stems_at_one_place_sum_as_their_sum(sofa, wave, to, hrtf):
    stems = np.stack([wave, wave[::-1], np.roll(wave, 99)])
    options = {"hrtf": sofa[0] if hrtf else None}
    together = render(stems, RATE_HZ, [LEFT] * 3, Listener(ORIGIN, 20), to, **options)
    at_once = render(stems.sum(axis=0)[None], RATE_HZ, [LEFT], Listener(ORIGIN, 20), to, **options)
    assert np.abs(together - at_once).max() < 1e-5 * np.abs(at_once).max()


def test_blocks_do_not_show(wave, monkeypatch):
    """A still scene in small blocks is the same as in large ones; one that moves by nothing as well."""
    long = np.tile(wave, 3)[None]
    whole = render(long, RATE_HZ, [LEFT], Listener(ORIGIN), "ambisonics", order=1)
    monkeypatch.setattr("spatial.stream.BLOCK_STILL", 1000)
    assert np.abs(render(long, RATE_HZ, [LEFT], Listener(ORIGIN), "ambisonics", order=1) - whole).max() < 1e-6
    turning = Listener(Path([0, 1], np.zeros((2, 3))), [0, 360])  # unwrapped: it does not turn
    assert np.abs(render(long, RATE_HZ, [LEFT], turning, "ambisonics", order=1) - whole).max() < 1e-6


def test_a_listener_who_walks_past_hears_it_go_from_right_to_left(sofa):
    wave = np.random.default_rng(1).standard_normal((1, 2 * RATE_HZ)).astype(np.float32)
    walk = Listener(Path([0, 2], [[-3, 0, 2], [3, 0, 2]]))
    heard = render(wave, RATE_HZ, [ORIGIN], walk, hrtf=sofa[0])
    quarter = RATE_HZ // 2
    first, last = energy_db(heard[:, :quarter]), energy_db(heard[:, -quarter:])
    assert first[1] > first[0] + 3 and last[0] > last[1] + 3
    still = render(wave, RATE_HZ, [ORIGIN], Listener([-3, 0, 2]), hrtf=sofa[0])
    assert np.abs(heard[:, :200] - still[:, :200]).max() < 0.1 * np.abs(still).max()


def test_a_room_adds_reflections_that_absorption_takes_away():
    room = pytest.importorskip("spatial.room")
    pytest.importorskip("pyroomacoustics", reason="pyroomacoustics is not installed: requirements-3d.txt")
    impulse = np.zeros((1, RATE_HZ // 4), dtype=np.float32)
    impulse[0, 0] = 1
    places = np.array([[0, 1, 0], [0, 1, 2.0]])

    def render_in(walls):
        return render(impulse, RATE_HZ, places[:1], Listener(places[1]), "ambisonics", order=1, room=walls)

    dry = render_in(None)
    levels = [energy_db(render_in(room.Room.around(places, [6, 3, 5], a, 0.0))[0]) for a in (0.1, 0.5, 1.0)]
    assert levels[0] > levels[1] > levels[2] and levels[2] == pytest.approx(energy_db(dry[0]), abs=0.01)
    wet = render_in(room.Room.around(places, [6, 3, 5], 0.36, 0.0))[0]
    floor = np.hypot(2, 2)  # by the floor, 1 m below both
    at = round(floor / 343 * RATE_HZ)
    assert wet[at - 1 : at + 2].max() == pytest.approx(0.8 / floor, rel=1e-3)  # the root of 1 - 0.36, and 1/r
    with pytest.raises(InputError, match="outside"):
        room.Room.around(places, [6, 3, 1], 0.3, 0.0)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"stems": np.zeros(5)}, "stems are"),
        ({"stems": np.full((1, 5), np.nan)}, "stems are"),
        ({"positions_m": [LEFT, RIGHT]}, "2 positions for 1 stems"),
        ({"positions_m": [(1, 2)]}, "a path is"),
        ({"positions_m": [(1, 2, np.inf)]}, "finite"),
        ({"positions_m": [(500, 0, 0)]}, "at most 340 m"),
        ({"positions_m": [(1e200, 0, 0)]}, "a place 1e\\+200 m from the origin"),
        ({"positions_m": [("a", "b", "c")]}, "a place: not numbers"),
        ({"positions_m": Path.still(LEFT)}, "positions_m is one path"),
        ({"stems": [[1, 2], [1]]}, "stems: not numbers"),
        ({"rate_hz": float("nan")}, "a rate of nan Hz"),
        ({"order": 2.0}, "expected 1 to 3"),
        ({"to": "mono"}, "expected one of"),
        ({"order": 4}, "expected 1 to 3"),
        ({"to": "binaural", "hrtf": "nowhere.sofa"}, "no such file"),
        ({"to": "binaural", "hrtf": __file__}, "not a SOFA file"),
    ],
)
def test_bad_input_is_one_line(change, match):
    given = {"stems": np.zeros((1, 5)), "rate_hz": 8000, "positions_m": [LEFT], "listener": Listener(ORIGIN)}
    if change.get("to") == "binaural":
        pytest.importorskip("sofar")
    with pytest.raises(InputError, match=match) as caught:
        render(**{**given, "to": "ambisonics", **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Listener(ORIGIN, [1, 2]), "facings for 1 places"),
        (lambda: Listener(ORIGIN, 1e308), "the listener's facing is not"),
        (lambda: Listener(ORIGIN, np.nan), "the listener's facing is not"),
        (lambda: Listener("here"), "a place: not numbers"),
        (lambda: Path([0, 1], [[0, 0, 0], [1]]), "a path's places: not numbers"),
        (lambda: Path([0, 1], [[0, 0, 0], [-1e308, 0, 0]]), "expected at most 1e\\+06 m"),
    ],
)
def test_places_that_are_none(make, match):
    with pytest.raises(InputError, match=match):
        make()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"Data_Delay": np.full((1, 2), 1e10)}, "delays that are not from 0 to 1 s"),
        ({"Data_Delay": np.full((1, 2), -1)}, "delays that are not from 0 to 1 s"),
        ({"Data_IR": np.zeros((0, 2, 8)), "SourcePosition": np.zeros((0, 3))}, "responses of"),
        ({"Data_IR": np.zeros((1, 2, 0))}, "responses of"),
    ],
)
def test_a_sofa_file_without_usable_responses(tmp_path, monkeypatch, change, match):
    sofar = pytest.importorskip("sofar")
    (tmp_path / "a.sofa").write_bytes(b"x")
    file = sofar.Sofa("SimpleFreeFieldHRIR")
    file.Data_IR, file.Data_SamplingRate, file.SourcePosition = np.ones((1, 2, 8)), RATE_HZ, np.array([[0, 0, 1.4]])
    for name, value in change.items():
        setattr(file, name, value)
    monkeypatch.setattr(sofar, "read_sofa", lambda *_, **__: file)
    with pytest.raises(InputError, match=match):
        render(np.zeros((1, 5)), RATE_HZ, [LEFT], Listener(ORIGIN), hrtf=tmp_path / "a.sofa")
