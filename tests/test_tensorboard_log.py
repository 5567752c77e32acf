"""The log that TensorBoard reads: what comes out of it is what went in."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from conftest import write_cloud
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.mesh import metadata as mesh_metadata
from tensorboard.util.tensor_util import make_ndarray

from dataset.points import read_cloud
from runs.tensorboard_log import CURVE_TAGS, MOST_POINTS, TensorBoardLog
from runs.visuals import draw_separation, write_separation
from utils.metrics import COLUMNS
from utils.metrics import METRICS as SCORES

RATE_HZ, SAMPLES, FRAMES, BINS = 11025, 5000, 24, 16
IMPROVEMENTS = [f"{name}_improvement" for name, metric in SCORES.items() if metric.of_mixture]
SUMMARY = {name: 1.0 for name in ("loss", *COLUMNS, *IMPROVEMENTS)}


def events_of(folder):
    events = EventAccumulator(str(folder), size_guidance={"images": 0, "audio": 0, "tensors": 0})
    events.Reload()
    return events


@pytest.fixture
def clouds(tmp_path):
    """Paths of a coloured cloud with more points than are logged, and of one without colours."""
    rng = np.random.default_rng(0)
    paths = [str(tmp_path / f"{name}.ply") for name in ("coloured", "plain")]
    write_cloud(tmp_path / "coloured.ply", rng.normal(size=(2 * MOST_POINTS, 3)), rng.integers(0, 256, (8000, 3)))
    write_cloud(tmp_path / "plain.ply", rng.normal(size=(10, 3)))
    return paths


def separation(clouds, seed=0):
    rng = np.random.default_rng(seed)
    sources = rng.uniform(-0.5, 0.5, (2, SAMPLES)).astype(np.float32)
    masks = rng.uniform(0, 1, (2, BINS, FRAMES))
    return draw_separation(
        rate_hz=RATE_HZ,
        mixture=sources.sum(axis=0),
        sources=sources,
        estimates=sources * 0.9,
        magnitude=rng.uniform(0, 1, (BINS, FRAMES)),
        weight=np.ones((BINS, FRAMES)),
        targets=masks.round(),
        masks=masks,
        clouds=[[path] for path in clouds],
    )


@pytest.fixture
def log(tmp_path):
    with TensorBoardLog(tmp_path / "log") as log:
        yield log


def test_sounds_and_pictures_are_those_of_the_files(log, clouds, tmp_path):
    shown = separation(clouds)
    log.add_evaluation(3, SUMMARY, {"0000_a+b": shown}, read_cloud)
    write_separation(tmp_path / "files", shown)
    events = events_of(tmp_path / "log")
    assert set(events.Tags()["audio"]) == {f"0000_a+b/{name}" for name in ("mix", "gt1", "pred1", "gt2", "pred2")}
    for tag in events.Tags()["audio"]:
        (event,) = events.Audio(tag)
        wave, rate_hz = soundfile.read(io.BytesIO(event.encoded_audio_string), dtype="float32")
        assert (event.step, rate_hz, len(wave), event.length_frames) == (3, RATE_HZ, SAMPLES, SAMPLES)
        assert event.sample_rate == RATE_HZ and event.content_type == "audio/wav"
        name = tag.partition("/")[2]
        assert abs(wave - shown.waves[name]).max() <= 1 / 32767
        assert event.encoded_audio_string == (tmp_path / "files" / f"{name}.wav").read_bytes()
    pictures = [f"{part}{n}" for part in ("gtamp", "predamp", "gtmask", "predmask") for n in (1, 2)]
    assert set(events.Tags()["images"]) == {f"0000_a+b/{name}" for name in ("mix", "weight", *pictures)}
    for tag in events.Tags()["images"]:
        (event,) = events.Images(tag)
        assert (event.step, event.width, event.height) == (3, FRAMES, BINS)
        assert Image.open(io.BytesIO(event.encoded_image_string)).size == (FRAMES, BINS)
        path = tmp_path / "files" / f"{tag.partition('/')[2]}.jpg"
        assert event.encoded_image_string == path.read_bytes()
    assert events.Scalars("val/sdr")[0].step == 3


def test_pictures_stand_upright_and_on_one_scale(clouds):
    """Low frequencies at the bottom, decibels from the mixture's loudest, masks from black to white."""
    magnitude, mask = np.full((BINS, FRAMES), 1e-3), np.zeros((1, BINS, FRAMES))
    magnitude[0], mask[0, 0] = 1.0, 1.0
    waves = np.zeros((1, SAMPLES), np.float32)
    pictures = draw_separation(
        RATE_HZ, waves[0], waves, waves, magnitude, magnitude, mask, mask, [[clouds[0]]]
    ).pictures
    assert (pictures["predmask1"][-1] == 255).all() and (pictures["predmask1"][:-1] == 0).all()
    brightest, darkest = pictures["mix"][-1, 0], pictures["mix"][0, 0]  # 0 and -60 dB
    assert brightest.min() > 180 and darkest.max() < 10
    assert (pictures["predamp1"][-1] == brightest).all() and (pictures["predamp1"][:-1] == darkest).all()


def test_clouds_are_those_of_the_files(log, clouds, tmp_path):
    log.add_separation(0, "m", separation(clouds), read_cloud)
    events = events_of(tmp_path / "log")
    tensors = {}
    for tag in events.Tags()["tensors"]:
        about = mesh_metadata.parse_plugin_metadata(events.SummaryMetadata(tag).plugin_data.content)
        tensors[about.name, about.content_type] = make_ndarray(events.Tensors(tag)[0].tensor_proto)
    vertex, colour = (
        mesh_metadata.plugin_data_pb2.MeshPluginData.VERTEX,
        mesh_metadata.plugin_data_pb2.MeshPluginData.COLOR,
    )
    assert set(tensors) == {("m/point1_frame1", vertex), ("m/point1_frame1", colour), ("m/point2_frame1", vertex)}
    for n, path in enumerate(clouds, 1):
        xyz, rgb = read_cloud(path)
        found = tensors[f"m/point{n}_frame1", vertex]
        assert found.shape == (1, min(len(xyz), MOST_POINTS), 3)
        order = {tuple(point): place for place, point in enumerate(xyz.tolist())}
        places = [order[tuple(point)] for point in found[0].tolist()]
        assert places == sorted(set(places)) and places[0] == 0 and places[-1] == len(xyz) - 1
        if rgb is not None:
            assert np.array_equal(tensors["m/point1_frame1", colour][0], np.rint(rgb[places] * 255))


def test_what_stays_the_same_is_written_once(log, clouds, tmp_path):
    for step in (0, 1, 5):
        log.add_separation(step, "m", separation(clouds, seed=step), read_cloud)
    events = events_of(tmp_path / "log")
    steps = {tag: [event.step for event in events.Audio(tag)] for tag in events.Tags()["audio"]}
    steps |= {tag: [event.step for event in events.Images(tag)] for tag in events.Tags()["images"]}
    steps |= {tag: [event.step for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]}
    assert {tag for tag, found in steps.items() if found == [0, 1, 5]} == {
        f"m/{name}{n}" for name in ("pred", "predamp", "predmask") for n in (1, 2)
    }
    assert all(found == [0] for tag, found in steps.items() if not tag.startswith("m/pred"))


def test_options_and_metrics(log, tmp_path):
    log.add_options({"ngf": 4, "lr_sound": 0.5, "id": "", "lr_steps": [3, 4], "loss": "bce"}, CURVE_TAGS)
    log.add_evaluation(0, SUMMARY, {}, read_cloud)
    log.add_scores(0, "best", {**SUMMARY, "epoch": 0})
    events = events_of(tmp_path / "log")
    content = {
        name: events.SummaryMetadata(f"_hparams_/{name}").plugin_data.content
        for name in ("experiment", "session_start_info")
    }
    experiment = hparams_metadata.parse_experiment_plugin_data(content["experiment"])
    row = hparams_metadata.parse_session_start_info_plugin_data(content["session_start_info"]).hparams
    assert row["ngf"].number_value == 4 and row["lr_sound"].number_value == 0.5 and row["id"].string_value == ""
    assert row["lr_steps"].string_value == "3 4" and {info.name for info in experiment.hparam_infos} == set(row)
    assert {info.name.tag for info in experiment.metric_infos} == set(CURVE_TAGS) == set(events.Tags()["scalars"])


def test_nothing_is_written_without_a_folder(clouds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    with TensorBoardLog(None) as log:
        log.add(0, {"a": 1.0})
        log.add_options({"a": 1}, CURVE_TAGS)
        log.add_evaluation(0, SUMMARY, {"m": separation(clouds)}, read_cloud)
    assert set(tmp_path.rglob("*")) == before


def test_a_log_that_begins_at_0_replaces_those_before(tmp_path):
    for step in (7, 2):
        with TensorBoardLog(tmp_path) as log:
            log.add(step, {"a": step})
        (path,) = tmp_path.iterdir()
        path.rename(tmp_path / "events.out.tfevents.0000000001.before")  # within a second the names would be the same
    assert [event.step for event in events_of(tmp_path).Scalars("a")] == [2]
    with TensorBoardLog(tmp_path, first_step=1) as log:
        log.add(1, {"a": 1})
    assert len(list(tmp_path.iterdir())) == 2 and [event.step for event in events_of(tmp_path).Scalars("a")] == [1]
