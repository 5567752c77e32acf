import json
import subprocess
import sys
from pathlib import Path

import make_demo_data
import numpy as np
import pytest
import soundfile
from demo_data import bodies, plan, scores, voices
from plyfile import PlyData
from scipy.signal import welch

from utils.errors import InputError

SCRIPT = Path(make_demo_data.__file__)
TINY = plan.Recipe(seed=3, recordings=1, seconds=1.5, performers=2, frames=2, bodies=2)
RECORDING_S = 12.0


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def draw_cloud(instrument: str, index: int = 0, frame: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([11, index])
    return bodies.cloud(bodies.draw_performer(instrument, rng), frame, rng)


def run_script(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def tiny_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "set"
    make_demo_data.make_demo_data(TINY, folder, workers=1, overwrite=False)
    return folder


@pytest.fixture(scope="module")
def recordings() -> dict[str, np.ndarray]:
    return {
        name: voices.recording(name, RECORDING_S, np.random.default_rng([5, index]))
        for index, name in enumerate(plan.INSTRUMENTS)
    }


def test_full_band(recordings) -> None:
    """At 44.1 kHz the same instruments reach higher, and sound as loud; at 11025 Hz nothing has changed."""
    for index, (name, low) in enumerate(recordings.items()):
        high = voices.recording(name, RECORDING_S, np.random.default_rng([5, index]), 44100)
        assert len(high) == 4 * len(low) or abs(len(high) - 4 * len(low)) < 4
        hz, power = welch(high, 44100, nperseg=4096)
        assert power[(hz > 6000) & (hz < 9000)].max() > 10 * power[hz > 21800].max(), name
        assert abs(20 * np.log10(np.std(high) / np.std(low))) < 6


def test_layout_and_counts(tiny_set: Path) -> None:
    for instrument in plan.INSTRUMENTS:
        assert len(list((tiny_set / "audio" / instrument).glob("*.mp3"))) == 1
        people = sorted(path.name for path in (tiny_set / "frames" / instrument).iterdir())
        assert people == ["person_1", "person_2"]
        for person in people:
            frames = sorted(path.name for path in (tiny_set / "frames" / instrument / person).iterdir())
            assert frames == ["00000.ply", "00001.ply"]
        assert len(list((tiny_set / "bodies" / instrument / "train").glob("body_*.ply"))) == 2
        assert len(list((tiny_set / "bodies" / instrument / "test").glob("body_*.ply"))) == 1
    assert len(contents(tiny_set)) == 5 * (1 + 4 + 3) + 1  # and the stamp
    assert not list(tiny_set.rglob("*.tmp"))


def test_same_bytes_for_two_workers(tiny_set: Path, tmp_path: Path) -> None:
    make_demo_data.make_demo_data(TINY, tmp_path / "again", workers=2, overwrite=False)
    assert contents(tmp_path / "again") == contents(tiny_set)


def test_other_seed_gives_other_bytes(tiny_set: Path, tmp_path: Path) -> None:
    other = plan.Recipe(**{**vars(TINY), "seed": 4})
    for job in (plan.Job(kind, "violin", 0) for kind in plan.KINDS):
        plan.run(other, tmp_path, job)
    for path, content in contents(tmp_path).items():
        assert content != (tiny_set / path).read_bytes()


def test_files_can_be_read(tiny_set: Path) -> None:
    wave, rate_hz = soundfile.read(tiny_set / "audio/saxophone/saxophone_0000.mp3")
    assert rate_hz == 11025
    assert wave.ndim == 1
    assert len(wave) == pytest.approx(1.5 * 11025, abs=1200)  # an mp3 may end with a filled-up block

    file = PlyData.read(tiny_set / "frames/saxophone/person_1/00000.ply")
    assert (file.text, file.byte_order) == (False, "<")
    properties = [(item.name, item.val_dtype) for item in file["vertex"].properties]
    assert properties == [(name, "f4") for name in "xyz"] + [(name, "u1") for name in ("red", "green", "blue")]


@pytest.mark.parametrize("instrument", plan.INSTRUMENTS)
def test_clouds_are_seen_from_one_side_and_of_human_size(instrument: str) -> None:
    for index in range(4):
        xyz, rgb = draw_cloud(instrument, index)
        assert 2200 < len(xyz) < 13000
        assert xyz.dtype == np.float32
        assert rgb.dtype == np.uint8
        low, high = np.percentile(xyz, (1, 99), axis=0)  # without the flying pixels
        assert -0.03 < low[1] < 0.3  # a doublebass may hide the feet
        assert 1.0 < high[1] < 2.25
        assert np.abs(xyz[:, [0, 2]].mean(axis=0)).max() < 0.7
        assert (high - low)[[0, 2]].max() < 1.9


def test_one_depth_a_pixel() -> None:
    rng = np.random.default_rng(2)
    performer = bodies.draw_performer("cello", rng)
    xyz, _ = bodies.cloud(performer, 0, rng)
    depth = performer.camera.distance_m - xyz[:, 2].astype(float)
    rays = np.stack([xyz[:, 0] / depth, (xyz[:, 1] - performer.camera.height_m) / depth], axis=1)
    assert len(np.unique(rays.round(4), axis=0)) == len(xyz)


def test_frames_move_and_performers_differ() -> None:
    def extent(cloud: np.ndarray) -> np.ndarray:
        return np.percentile(cloud, (1, 50, 99), axis=0)

    first, later, other = draw_cloud("violin")[0], draw_cloud("violin", 0, 3)[0], draw_cloud("violin", 1)[0]
    assert 0.005 < np.abs(extent(first) - extent(later)).max() < 0.3
    assert np.abs(extent(first) - extent(other)).max() > 0.05


@pytest.mark.parametrize("instrument", plan.INSTRUMENTS)
def test_notes_stay_in_the_register(instrument: str) -> None:
    manner = voices.MANNERS[instrument]
    for seed in range(10):
        notes = scores.compose(manner, 30.0, np.random.default_rng(seed))
        assert all(manner.lowest <= note.midi <= manner.highest for note in notes)
        assert len({note.midi for note in notes}) > 4
        assert max(note.onset_s for note in notes) > 20.0


@pytest.mark.parametrize("instrument", plan.INSTRUMENTS)
def test_recordings_have_level_and_band(instrument: str, recordings: dict[str, np.ndarray]) -> None:
    wave = recordings[instrument]
    assert wave.shape == (RECORDING_S * 11025,)
    assert -24.0 < 10 * np.log10(np.mean(wave**2)) < -16.0
    assert np.abs(wave).max() < 1.0
    hz, power = welch(wave, voices.SAMPLE_RATE_HZ, nperseg=4096)
    lowest_hz = 440 * 2 ** ((voices.MANNERS[instrument].lowest - 69) / 12)
    assert power[hz < 0.9 * lowest_hz].sum() < 0.02 * power.sum()
    assert power[hz > 5350].sum() < 1e-3 * power.sum()


def test_registers_are_ordered(recordings: dict[str, np.ndarray]) -> None:
    def centre_hz(instrument: str) -> float:
        hz, power = welch(recordings[instrument], voices.SAMPLE_RATE_HZ, nperseg=4096)
        return (hz * power).sum() / power.sum()

    assert centre_hz("doublebass") < centre_hz("cello") < centre_hz("violin")


def test_plucked_tones_decay_and_bowed_tones_do_not() -> None:
    def fall_db(instrument: str, plucked: bool) -> float:
        rng = np.random.default_rng(1)
        tone = voices.draw_tone(voices.TIMBRES[instrument], rng)
        wave = voices.play(scores.Note(0.0, 1.5, 60, 0.8, plucked), tone, rng)[0]
        early, late = (np.mean(wave[round(at * 11025) :][:2000] ** 2) for at in (0.2, 1.1))
        return 10 * np.log10(early / late)

    assert fall_db("guitar", True) > 10.0
    assert abs(fall_db("violin", False)) < 4.0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bodies", "0"],
        ["--seed", "-1"],
        ["--seconds", "nan"],
        ["--frames", "many"],
        ["--overwrite", "2"],
        ["--colour", "1"],
    ],
)
def test_a_bad_argument_names_itself(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=arguments[0]):
        make_demo_data.parse_arguments(["--output", str(tmp_path / "set"), *arguments])


def test_a_finished_set_is_left_alone(tiny_set: Path) -> None:
    path = tiny_set / "audio/cello/cello_0000.mp3"
    before = path.stat().st_mtime_ns
    assert "already holds" in make_demo_data.make_demo_data(TINY, tiny_set, workers=1, overwrite=True)
    assert path.stat().st_mtime_ns == before


def test_other_arguments_are_refused_in_one_line(tiny_set: Path) -> None:
    before = contents(tiny_set)
    done = run_script("--output", str(tiny_set), "--seed", "9")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--overwrite 1" in done.stderr
    assert contents(tiny_set) == before


def test_overwrite_removes_the_old_set_and_nothing_else(tmp_path: Path) -> None:
    first = plan.Recipe(seed=0, recordings=2, seconds=1.0, performers=1, frames=2, bodies=1)
    second = plan.Recipe(seed=0, recordings=1, seconds=1.0, performers=1, frames=1, bodies=1)
    make_demo_data.make_demo_data(first, tmp_path / "a", workers=1, overwrite=False)
    (tmp_path / "a/audio/cello/mine.txt").write_text("kept")
    make_demo_data.make_demo_data(second, tmp_path / "a", workers=1, overwrite=True)
    make_demo_data.make_demo_data(second, tmp_path / "b", workers=1, overwrite=False)
    left = contents(tmp_path / "a")
    assert left.pop("audio/cello/mine.txt") == b"kept"
    assert left == contents(tmp_path / "b")


def test_an_interrupted_run_is_finished_by_the_next(tiny_set: Path, tmp_path: Path) -> None:
    stamp = json.loads((tiny_set / make_demo_data.STAMP).read_text())
    plan.run(TINY, tmp_path, plan.jobs(TINY)[0])
    (tmp_path / make_demo_data.UNFINISHED_STAMP).write_text(json.dumps(stamp))
    make_demo_data.make_demo_data(TINY, tmp_path, workers=1, overwrite=False)
    assert contents(tmp_path) == contents(tiny_set)


def test_data_of_others_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "audio/cello").mkdir(parents=True)
    with pytest.raises(InputError, match="did not make"):
        make_demo_data.make_demo_data(TINY, tmp_path, workers=1, overwrite=True)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"version": 1}', "null", "nonsense", '{"version": 1, "seed": "x"}'],
)
def test_a_stamp_that_is_damaged(tiny_set, tmp_path, content):
    (tmp_path / make_demo_data.STAMP).write_text(content)
    (tmp_path / "audio").mkdir()
    with pytest.raises(InputError) as error:
        make_demo_data.make_demo_data(TINY, tmp_path, 1, overwrite=True)
    assert make_demo_data.STAMP in str(error.value) and "\n" not in str(error.value)


def test_a_stamp_of_an_absurd_size(tiny_set, tmp_path):
    stamp = json.loads((tiny_set / make_demo_data.STAMP).read_text()) | {"bodies": 10**12}
    (tmp_path / make_demo_data.STAMP).write_text(json.dumps(stamp))
    with pytest.raises(InputError, match="more than 1000000 files"):
        make_demo_data.make_demo_data(TINY, tmp_path, 1, overwrite=True)
