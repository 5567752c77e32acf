"""Scenes for other programs: ADM files as the EBU's reader sees them, glTF files as trimesh does."""

from __future__ import annotations

import json
import subprocess
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import soundfile
from conftest import ROOT

from spatial import Listener, Path, render
from spatial.adm import write_adm
from spatial.glb import write_glb

RATE_HZ, LENGTH = 44100, 3 * 44100 + 1
PEAK = 1.5
EAR = ROOT / ".venv-ear" / "bin" / "python"
LISTENER = Listener([0, 1.5, 0])


@pytest.fixture
def ensemble():
    """Two musicians; one of them, beyond full scale, walks from the left at 1 s to the right at 2 s."""
    waves = np.random.default_rng(0).uniform(-1, 1, (2, LENGTH)) * [[1.0], [0.5]]
    waves[0, 7] = PEAK
    return SimpleNamespace(
        names=["violin", "čelo & co"],
        paths=[Path([1, 2], [[-3, 1.5, 0], [3, 1.5, 0]]), Path.still([0, 2.5, -1])],
        rate_hz=RATE_HZ,
        num_samples=LENGTH,
        waves=waves,
        read=lambda n, start, length: waves[n, start : start + length],
    )


def read_by_ebu(path):
    """What the EBU ADM Renderer finds in a file, and its samples `[n, tracks]`."""
    if not EAR.exists():
        pytest.skip("the EBU ADM Renderer is not installed: ./.ci/run makes .venv-ear for it")
    samples = path.with_suffix(".npy")
    command = [EAR, "-W", "ignore", ROOT / "tests" / "read_adm.py", path, samples]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout), np.load(samples)


def test_ebus_reader_finds_objects_where_they_are(tmp_path, ensemble):
    write_adm(tmp_path / "scene.wav", ensemble, LISTENER)
    found, samples = read_by_ebu(tmp_path / "scene.wav")
    objects = found["objects"]
    assert (found["rate_hz"], found["bits"], samples.shape) == (RATE_HZ, 24, (LENGTH, 2))
    assert [(one["name"], one["track"]) for one in objects] == [(ensemble.names[0], 1), (ensemble.names[1], 2)]
    assert [one["metres"] for one in objects] == pytest.approx([3, 3])
    moving, (still,) = (one["blocks"] for one in objects)
    assert (still["azimuth"], still["elevation"]) == pytest.approx((0, 45))
    assert still["distance"] == pytest.approx(np.sqrt(2) / 3, abs=1e-5)
    assert [block["azimuth"] for block in moving] == pytest.approx([90, -90, -90])
    times = [(block["rtime"], block["duration"]) for block in moving]
    assert times == [(0, 1), (1, 1), (2, pytest.approx(LENGTH / RATE_HZ - 2, abs=1e-5))]
    assert [block["gain"] for block in [*moving, still]] == pytest.approx([PEAK] * 4, abs=1e-6)
    assert np.abs(samples.T * PEAK - ensemble.waves).max() < 1e-6


def test_movement_beyond_the_recordings_end_is_kept_up_to_it(tmp_path, ensemble):
    """One musician is half way when the recording ends, ahead; another begins to walk after it."""
    end_s = LENGTH / RATE_HZ
    ensemble.paths = [Path([0, 2 * end_s], [[-3, 1.5, -3], [3, 1.5, -3]]), Path([5, 6], [[3, 1.5, 0], [-3, 1.5, 0]])]
    write_adm(tmp_path / "scene.wav", ensemble, LISTENER)
    found, _ = read_by_ebu(tmp_path / "scene.wav")
    walking, (waiting,) = (one["blocks"] for one in found["objects"])
    assert [block["azimuth"] for block in walking] == pytest.approx([45, 0], abs=1e-4)
    assert walking[1]["rtime"] + walking[1]["duration"] == pytest.approx(end_s, abs=2e-5)
    assert waiting["azimuth"] == pytest.approx(-90)


def test_sound_editors_read_it_as_a_wav_file(tmp_path, ensemble):
    write_adm(tmp_path / "scene.wav", ensemble, LISTENER)
    samples, rate_hz = soundfile.read(tmp_path / "scene.wav", dtype="float64")
    assert rate_hz == RATE_HZ and samples.shape == (LENGTH, 2)
    assert np.abs(samples.T * PEAK - ensemble.waves).max() < 1e-6


def test_it_is_a_broadcast_wave_file(tmp_path, ensemble):
    """EBU Tech 3285: a bext chunk of at least 602 bytes, whose text says what it is; it begins at sample 0."""
    write_adm(tmp_path / "scene.wav", ensemble, LISTENER)
    data = (tmp_path / "scene.wav").read_bytes()
    at = data.index(b"bext")
    assert int.from_bytes(data[at + 4 : at + 8], "little") == 602 and at < data.index(b"fmt ")
    assert data[at + 8 :].startswith(b"separated stems") and data[at + 8 + 338 : at + 8 + 346] == bytes(8)


def test_more_than_4_gb_are_bw64(tmp_path, ensemble, monkeypatch):
    monkeypatch.setattr("spatial.adm.MOST_BYTES", 1000)
    write_adm(tmp_path / "scene.wav", ensemble, LISTENER)
    assert (tmp_path / "scene.wav").read_bytes()[:4] == b"BW64"
    found, samples = read_by_ebu(tmp_path / "scene.wav")
    assert len(found["objects"]) == 2
    assert np.abs(samples.T * PEAK - ensemble.waves).max() < 1e-6


def test_trimesh_finds_musicians_where_they_are(tmp_path):
    trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed: requirements-dev.txt")
    rng = np.random.default_rng(0)
    clouds = [(rng.normal((n, 1, -n), 0.3, (500 + n, 3)).astype(np.float32), rng.random((500 + n, 3))) for n in (1, 2)]
    clouds.append((clouds[0][0], None))
    centroids = [xyz.mean(axis=0) for xyz, _ in clouds]
    paths = [Path.still(centroid) for centroid in centroids[:2]] + [Path([0, 1], [centroids[2], centroids[2] + 1])]
    stems = {name: tmp_path / f"{name}.wav" for name in ("violin", "cello #2", "čelo 50%20")}
    write_glb(tmp_path / "scene.glb", stems, clouds, paths)
    scene = trimesh.load_scene(tmp_path / "scene.glb")
    for name, (xyz, rgb), centroid in zip(stems, clouds, centroids, strict=True):
        matrix, geometry = scene.graph[name]
        assert matrix[:3, 3] == pytest.approx(centroid, abs=1e-5)
        cloud = scene.geometry[geometry]
        assert np.abs(trimesh.transform_points(cloud.vertices, matrix) - xyz).max() < 1e-5
        if rgb is not None:
            assert np.abs(cloud.colors[:, :3] / 255 - rgb).max() <= 0.5 / 255 + 1e-6
    content = (tmp_path / "scene.glb").read_bytes()
    described = json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")])
    emitters = described["extensions"]["KHR_audio_emitter"]
    for n, node in enumerate(described["nodes"]):
        emitter = emitters["emitters"][node["extensions"]["KHR_audio_emitter"]["emitter"]]
        source = emitters["sources"][emitter["sources"][0]]
        uri = urlsplit(emitters["audio"][source["audio"]]["uri"])
        assert unquote(uri.path) == list(stems.values())[n].name and uri.path.isascii() and not uri.fragment
    (animation,) = described["animations"]
    assert animation["channels"][0]["target"] == {"node": 2, "path": "translation"}


@pytest.mark.parametrize(("layout", "ebus"), [("5.1", "0+5+0"), ("7.1.4", "4+7+0")])
def test_ebus_renderer_pans_as_ours_does(tmp_path, layout, ebus):
    """Sources at the height of the ears, rendered from the ADM file by the EBU and from their places by us."""
    azimuths = np.radians([15, 75, -60, -100])
    places = 2 * np.stack([-np.sin(azimuths), 0 * azimuths, -np.cos(azimuths)], axis=1)
    bursts = np.zeros((len(places), RATE_HZ), dtype=np.float32)
    for n, wave in enumerate(bursts):
        wave[2000 + 9000 * n : 5000 + 9000 * n] = 0.5  # one after another
    ensemble = SimpleNamespace(
        names=[f"at {n}" for n in range(len(places))],
        paths=[Path.still(place) for place in places],
        rate_hz=RATE_HZ,
        num_samples=RATE_HZ,
        read=lambda n, start, length: bursts[n, start : start + length],
    )
    listener = Listener([0, 0, 0])
    write_adm(tmp_path / "scene.wav", ensemble, listener)
    if not EAR.exists():
        pytest.skip("the EBU ADM Renderer is not installed: ./.ci/run makes .venv-ear for it")
    command = [EAR.with_name("ear-render"), "-s", ebus, tmp_path / "scene.wav", tmp_path / "ebu.wav"]
    subprocess.run(command, check=True, capture_output=True)
    theirs = soundfile.read(tmp_path / "ebu.wav")[0].T / 0.5
    ours = render(bursts, RATE_HZ, places, listener, layout) / 0.5
    for n in range(len(places)):
        at = 4500 + 9000 * n
        assert ours[:, at] * 2 == pytest.approx(theirs[:, at], abs=0.02)  # 1/r at 2 m, which ADM leaves to the renderer
