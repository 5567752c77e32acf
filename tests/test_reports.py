"""Pages of results: what they are made of, from the files of a run; how they look and sound is for test_browser.py."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import write_cloud
from demo_data import voices
from media_files import SECONDS, sound, write_media
from PIL import Image
from tools import without_first_frame

from dataset.audio import open_recording
from dataset.eval_list import describe
from dataset.index import IndexRow
from dataset.music import SourceDraw
from dataset.settings import Window
from reports import overview
from reports.comparison import paired_difference, read_comparison, short_names, write_comparison_page
from reports.evaluated import read_evaluation
from reports.figures import pair_improvements
from reports.media import ticks_of_octaves, ticks_of_spectrogram, write_cloud_script, write_mp3
from reports.recording_page import write_recording_page
from reports.run_page import write_run_page
from reports.scene_page import SceneView
from runs.history import new_history
from runs.table import EvaluationTable
from runs.visuals import draw_separation, write_separation
from utils.checkpoint import save
from utils.errors import InputError
from utils.metrics import COLUMNS, METRICS, units
from utils.spectrogram import stft, warp

RATE, LENGTH = 11025, 16383
PAIRS = [("cello", "violin"), ("guitar", "cello"), ("violin", "guitar"), ("cello", "violin"), ("violin", "cello")]


def write_mixture(folder, rng):
    """What an evaluation draws of a mixture of two."""
    sources = 0.1 * rng.standard_normal((2, LENGTH)).astype(np.float32)
    clouds = []
    for n in (1, 2):
        clouds.append([folder.parents[1] / f"cloud{n}.ply"])
        xyz = rng.normal(0, 0.2, (5000, 3)) + (0, 1, 0)
        write_cloud(clouds[-1][0], xyz, rng.integers(0, 256, (5000, 3)))
    magnitude, weight, masks = rng.random((256, 64)), rng.random((256, 64)), rng.random((2, 256, 64))
    write_separation(
        folder, draw_separation(RATE, sources.sum(0), sources, sources, magnitude, weight, masks, masks, clouds)
    )


def write_evaluation(run, sdr, drawn=5, unscored=(), starts=range(5)):
    """A run's folder after an evaluation of five mixtures, with improvements of `sdr` on average."""
    rng = np.random.default_rng(round(10 * sdr))
    table = EvaluationTable()
    for index, (instruments, start) in enumerate(zip(PAIRS, starts, strict=True)):
        rows = [IndexRow(f"audio/{name}/{name}_{index}.mp3", f"frames/{name}/person_1", 9) for name in instruments]
        draws = [SourceDraw(row, start, (3,)) for row in rows]
        values = {name: rng.normal(sdr, 1, 2) for name in ("sdr", "sir", "sar", "si_sdr")}
        zero = {"sdr_mixture": np.array([0.5, -0.5]), "si_sdr_mixture": np.zeros(2)}
        table.loss.add(0.3, 1)
        made_of = {"index": index, **describe(draws, Window(LENGTH, RATE))}
        table.add(made_of, None if index in unscored else dict.fromkeys(COLUMNS, np.zeros(2)) | values | zero)
        if index < drawn:
            write_mixture(run / "visualization" / f"{index:04d}_{'+'.join(instruments)}", rng)
    run.mkdir(parents=True, exist_ok=True)
    table.write(run, list_val="data/val.csv", eval_list="", num_mix=2, epoch=2, log_freq=1)
    history = new_history()
    for epoch, loss in enumerate((0.5, 0.3, 0.4)):
        names = ("sdr", "sir", "sar", "sdr_mixture")
        history["val"].append({"epoch": epoch, "loss": loss, **{name: epoch + 0.1 for name in names}})
    history["train"].append({"epoch": 1, "loss": 0.4})
    save(history, run / "history_latest.pth")
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("ckpt")
    return [write_evaluation(root / f"{name}-2mix-unet7", sdr) for name, sdr in (("first", 3.0), ("second", 5.0))]


def page_data(page):
    text = (page.parent / "data.js").read_text()
    return json.loads(re.fullmatch(r"window\.REPORT = (.*);\n", text, re.DOTALL)[1])


def files_of(page, data):
    """Every file that the description names."""
    names = [figure["file"] for figure in data["figures"]]
    for row in data["rows"]:
        for group in (row["media"] or {"groups": []})["groups"]:
            for part in group["tracks"] + group["masks"]:
                names += [part[key] for key in ("file", "image", "waveform") if part.get(key)]
            names += [file for cloud in group["clouds"] for file in cloud["files"]]
    return [page.parent / name for name in names]


def test_the_page_of_a_run(runs):
    page = write_run_page(runs[0])
    assert page == runs[0] / "report" / "index.html"
    data = page_data(page)
    assert data["title"] == "first-2mix-unet7" and data["about"] == ["5 mixtures of data/val.csv, after epoch 2"]
    summary = json.loads((runs[0] / "metrics.json").read_text())
    mixture, separated, improvement = data["scores"]["rows"]
    assert separated["values"] == [summary[name] for name in METRICS]
    assert mixture["values"] == [summary.get(f"{name}_mixture") for name in METRICS] and mixture["values"][0] == 0.0
    assert improvement["values"][0] == summary["sdr_improvement"]
    assert [row["instruments"] for row in data["rows"]] == [list(pair) for pair in PAIRS]
    first = data["rows"][0]["media"]
    assert first["seconds"] == pytest.approx(LENGTH / RATE) and len(first["groups"]) == 3
    labels = [[track["label"] for track in group["tracks"]] for group in first["groups"]]
    assert labels == [["mixture"], ["separated", "truth"], ["separated", "truth"]]
    files = files_of(page, data)
    assert len(files) == 5 + 5 * (2 * 5 + 4 + 2) and len(set(files)) == len(files)
    assert all(path.stat().st_size > 100 for path in files)
    beside = {path.relative_to(page.parent) for path in page.parent.rglob("*") if path.is_file()}
    named = {path.relative_to(page.parent) for path in files}
    assert {str(path) for path in beside - named} == {
        "index.html",
        "page.css",
        "page.js",
        "data.js",
        "page.json",
        "plotly.min.js",
    }


def test_a_page_of_forty_mixtures_is_small(tmp_path):
    """Two sources as the default model hears them: windows of six seconds, 256 frames; clouds of 4,000 points."""
    sources = np.stack([voices.recording(name, 6, np.random.default_rng(0)) for name in ("cello", "violin")])[:, :65280]
    magnitude = warp(stft(torch.from_numpy(sources), 1022, 256).abs().unsqueeze(1))[:, 0].numpy()
    run = write_evaluation(tmp_path / "one", 3.0, drawn=1)
    masks, folder = (magnitude > magnitude[::-1]).astype(np.float32), next((run / "visualization").iterdir())
    clouds = [[tmp_path / "one" / f"cloud{n}.ply"] for n in (1, 2)]
    mixture = sources.sum(0), sources, sources, magnitude.sum(0), magnitude[0], masks, masks
    write_separation(folder, draw_separation(RATE, *mixture, clouds))
    page = write_run_page(run)
    media = sum(path.stat().st_size for path in page.parent.rglob("mixtures/*/*"))
    rest = sum(path.stat().st_size for path in page.parent.rglob("*") if path.is_file()) - media
    assert rest + 40 * media < 30e6


def test_mixtures_that_were_not_drawn_or_scored(tmp_path):
    run = write_evaluation(tmp_path / "run", 3.0, drawn=2, unscored=(0, 3))
    data = page_data(write_run_page(run))
    assert [row["media"] is not None for row in data["rows"]] == [True, True, False, False, False]
    assert data["rows"][0]["values"] == dict.fromkeys(data["rows"][0]["values"])
    assert data["rows"][1]["values"]["improvement"] == pytest.approx(data["rows"][1]["values"]["sdr"])
    assert "2 of them to hear and see (--num_vis)" in data["about"]
    assert data["scores"]["notes"] == [f"{units()}, means of 3 scored mixtures; 2 unscored"]


def test_nothing_scored_and_no_history(tmp_path):
    run = write_evaluation(tmp_path / "run", 3.0, drawn=0, unscored=range(5))
    (run / "history_latest.pth").unlink()
    data = page_data(write_run_page(run))
    assert data["figures"] == [] and data["scores"]["rows"][1]["values"] == [None] * len(METRICS)


def test_what_is_no_evaluation_is_told(tmp_path):
    with pytest.raises(InputError, match="holds no metrics.json of an evaluation"):
        write_run_page(tmp_path)
    run = write_evaluation(tmp_path / "run", 3.0, drawn=0)
    for content in ("a,b\n1,2\n", "index,num_sources\nx,2\n"):
        (run / "metrics.csv").write_text(content)
        with pytest.raises(InputError, match="metrics.csv: not the scores of an evaluation"):
            write_run_page(run)


def test_scores_by_who_plays_beside(tmp_path):
    evaluation = read_evaluation(write_evaluation(tmp_path / "run", 3.0, drawn=0))
    found = pair_improvements(evaluation)
    assert {pair: len(values) for pair, values in found.items()} == {
        ("cello", "violin"): 3,
        ("violin", "cello"): 3,
        ("cello", "guitar"): 1,
        ("guitar", "cello"): 1,
        ("violin", "guitar"): 1,
        ("guitar", "violin"): 1,
    }
    mixture = evaluation.mixtures[1]  # guitar and cello
    assert found["cello", "guitar"] == [mixture.score("sdr_2") - mixture.score("sdr_mixture_2")]


# Comparisons.


def test_the_page_of_a_comparison(runs, tmp_path):
    page, comparison = write_comparison_page(runs, tmp_path / "comparison")
    data = page_data(page)
    assert list(comparison.runs) == ["first", "second"] and data["title"] == "first / second"
    for row, pair in zip(data["rows"], comparison.pairs, strict=True):
        assert row["values"]["second less"] == pytest.approx(pair[1].score("sdr") - pair[0].score("sdr"))
    labels = [track["label"] for track in data["rows"][0]["media"]["groups"][1]["tracks"]]
    assert labels == ["first", "second", "truth"]
    assert all(path.exists() for path in files_of(page, data))
    assert str(comparison.difference("second", "sdr")) in "".join(data["scores"]["notes"])


def test_other_mixtures_cannot_be_compared(runs, tmp_path):
    other = write_evaluation(tmp_path / "other", 3.0, drawn=0, starts=[0, 1, 2, 3, 99])
    with pytest.raises(InputError, match=r"other: evaluated on other mixtures than .*--id other --eval_list .*first"):
        read_comparison([runs[0], other])


def test_mixtures_are_matched_in_any_order(runs, tmp_path):
    shuffled = shutil.copytree(runs[1], tmp_path / "shuffled")
    head, *lines = (shuffled / "metrics.csv").read_text().splitlines()
    (shuffled / "metrics.csv").write_text("\n".join([head, *reversed(lines)]) + "\n")
    for pair in read_comparison([runs[0], shuffled]).pairs:
        assert pair[0].made_of == pair[1].made_of and pair[0].index == pair[1].index


def test_the_interval_of_a_paired_difference():
    """Narrow where mixtures differ much but the runs do so little; it holds the truth as often as it says."""
    rng = np.random.default_rng(0)
    hard = rng.normal(5, 10, 50)
    difference = paired_difference(list(hard), list(hard + 0.5 + 0.1 * rng.standard_normal(50)))
    assert difference.low < 0.5 < difference.high and difference.high - difference.low < 0.1 and difference.n == 50
    held = 0
    for _ in range(40):
        first = rng.normal(5, 3, 30)
        found = paired_difference(list(first), list(first + rng.normal(1, 2, 30)))
        held += found.low < 1 < found.high
    assert 32 <= held <= 40
    assert str(paired_difference([1.0], [3.0])) == "+2.00"
    assert str(paired_difference([1.0, 2.0], [1.0, 2.0])) == "+0.00 [+0.00, +0.00]"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a-2mix-unet7-epoch9", "a-2mix-unet5-epoch9"], ["unet7", "unet5"]),
        (["a-2mix", "a-2mix-label"], ["a-2mix", "a-2mix-label"]),
        (["x/run", "y/run"], ["x/run", "y/run"]),
    ],
)
def test_runs_are_told_apart_by_what_differs(tmp_path, monkeypatch, names, expected):
    monkeypatch.chdir(tmp_path)
    assert short_names([Path(name) for name in names]) == expected


# Media.


@pytest.mark.parametrize(("rate", "channels"), [(11025, 1), (44100, 2), (48000, 6), (96000, 2), (7000, 1)])
def test_sounds_are_compressed(tmp_path, rate, channels):
    t = np.arange(rate) / rate
    wave = np.stack([0.3 * np.sin(2 * np.pi * 440 * t)] * channels, axis=1)
    soundfile.write(tmp_path / "a.wav", wave, rate, subtype="FLOAT")
    write_mp3(tmp_path / "a.wav", tmp_path / "a.mp3")
    sound, out_rate = soundfile.read(tmp_path / "a.mp3", always_2d=True)
    assert sound.shape[1] == min(channels, 2) if channels <= 2 else sound.shape[1] == 1
    assert len(sound) / out_rate == pytest.approx(1.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(sound[:, 0]))
    assert np.argmax(spectrum) * out_rate / len(sound) == pytest.approx(440, abs=2)
    assert (tmp_path / "a.mp3").stat().st_size < 0.3 * (tmp_path / "a.wav").stat().st_size


def test_sounds_of_any_format_are_compressed(tmp_path):
    """As recordings are read, not as their headers tell."""
    write_media(tmp_path / "a.m4a", video=False)
    soundfile.write(tmp_path / "b.mp3", sound(44100), 44100, bitrate_mode="VARIABLE")
    (tmp_path / "b.mp3").write_bytes(without_first_frame((tmp_path / "b.mp3").read_bytes()))
    for name in ("a.m4a", "b.mp3"):
        write_mp3(tmp_path / name, tmp_path / "out.mp3")
        assert soundfile.info(tmp_path / "out.mp3").duration == pytest.approx(SECONDS, abs=0.1)


def test_clouds_are_scripts(tmp_path):
    rng = np.random.default_rng(0)
    xyz, rgb = rng.normal(0, 0.5, (9000, 3)) + (2, 1, -3), rng.random((9000, 3))
    write_cloud_script(tmp_path / "a.js", "place/a.js", xyz, rgb)
    text = (tmp_path / "a.js").read_text()
    name, centre, points, colours = json.loads(f"[{re.fullmatch(r'cloud[(](.*)[)];', text.strip())[1]}]")
    points = np.frombuffer(base64.b64decode(points), "<i2").reshape(-1, 3) / 1000 + centre
    assert name == "place/a.js" and len(points) == 4000
    chosen = np.unique(np.linspace(0, 8999, 4000).round().astype(int))
    np.testing.assert_allclose(points, xyz[chosen], atol=1.1e-3)
    colours = np.frombuffer(base64.b64decode(colours), np.uint8).reshape(-1, 3)
    np.testing.assert_allclose(colours / 255, rgb[chosen], atol=0.002)
    write_cloud_script(tmp_path / "b.js", "b.js", xyz[:5].astype(np.float32), None)
    assert (tmp_path / "b.js").read_text().endswith(", null);\n")


@pytest.mark.parametrize("log_freq", [True, False])
def test_ticks_lie_where_the_model_puts_the_frequencies(log_freq):
    """A single STFT bin, warped as the model does it, lights up where the tick of its frequency is."""
    bins, nyquist = 512, 5512.5
    ticks = dict((label, place) for place, label in ticks_of_spectrogram(nyquist, log_freq))
    assert list(ticks)[-1] == "5 kHz"
    number = round(1000 / nyquist * (bins - 1))
    spectrum = torch.zeros(1, 1, bins, 4)
    spectrum[0, 0, number] = 1
    picture = (warp(spectrum) if log_freq else spectrum)[0, 0, :, 2]
    assert picture.argmax().item() / (len(picture) - 1) == pytest.approx(ticks["1k"], abs=0.01)


def test_ticks_do_not_touch():
    for ticks in (ticks_of_octaves(40, 20_000), ticks_of_octaves(40, 400), ticks_of_spectrogram(24_000, True)):
        places = [place for place, _ in ticks]
        assert min(np.diff(places)) >= 0.08 and places[0] >= 0 and places[-1] <= 1


# The page of one recording.


@pytest.fixture
def stems(tmp_path):
    rng, t = np.random.default_rng(0), np.arange(3 * 22050) / 22050
    waves = {
        "violin": 0.3 * np.sin(2 * np.pi * 1000 * t),
        "cello": 0.1 * rng.standard_normal(len(t)),
    }
    waves["song"] = sum(waves.values())
    for name, wave in waves.items():
        soundfile.write(tmp_path / f"{name}.wav", np.stack([wave, wave], axis=1), 22050, subtype="FLOAT")
    return {name: tmp_path / f"{name}.wav" for name in ("violin", "cello")}


@pytest.mark.parametrize("is_scene", [False, True])
def test_the_page_of_a_recording(stems, tmp_path, is_scene):
    clouds = {name: (np.random.default_rng(n).normal(n, 0.2, (50, 3)), None) for n, name in enumerate(stems)}
    page = write_recording_page(
        tmp_path / "report",
        tmp_path / "song.wav",
        stems,
        clouds,
        scene=SceneView() if is_scene else None,
        about=["a line"],
    )
    data = page_data(page)
    assert data["title"] == "song.wav" and data["about"] == ["a line"] and len(data["rows"]) == 1
    media = data["rows"][0]["media"]
    assert media["seconds"] == pytest.approx(3.0)
    assert [track["label"] for group in media["groups"] for track in group["tracks"]] == ["mixture", "violin", "cello"]
    views = [cloud["names"] for group in media["groups"] for cloud in group["clouds"]]
    assert views == ([["violin", "cello"]] if is_scene else [["violin"], ["cello"]])
    assert all(path.exists() for path in files_of(page, data))


def test_a_stem_called_mixture_does_not_replace_the_recording(stems, tmp_path):
    named = {"mixture": stems["violin"], "recording": stems["cello"]}
    page = write_recording_page(tmp_path / "report", tmp_path / "song.wav", named, {}, scene=None, about=[])
    tracks = [track for group in page_data(page)["rows"][0]["media"]["groups"] for track in group["tracks"]]
    assert [track["label"] for track in tracks] == ["recording of all", "mixture", "recording"]
    assert len({track["file"] for track in tracks}) == 3


def test_the_pictures_of_a_recording(stems, tmp_path):
    with open_recording(str(stems["violin"])) as recording:
        extremes, magnitudes = overview.measure(recording)
        assert extremes.shape == (2, 1200) and magnitudes.shape == (256, 1200)
        np.testing.assert_allclose(extremes[1, :-1].max(), 0.3, rtol=0.01)
        np.testing.assert_allclose(extremes[0, :-1].min(), -0.3, rtol=0.01)
        place = magnitudes[:, 600].argmax() / 255
    ticks = {label: at for at, label in ticks_of_octaves(40, 11025)}
    assert place == pytest.approx(ticks["1k"], abs=0.01)
    overview.draw_spectrum(magnitudes, magnitudes.max(), tmp_path / "spectrum.jpg")
    bright = np.asarray(Image.open(tmp_path / "spectrum.jpg").convert("L"))[:, 600].argmax()
    assert 1 - bright / 255 == pytest.approx(ticks["1k"], abs=0.02)  # low frequencies at the bottom
    overview.draw_wave(extremes, 0.6, tmp_path / "wave.png")
    inside = np.asarray(Image.open(tmp_path / "wave.png"))[:, 300, 3] > 0
    assert 0.3 < inside.mean() < 0.7 and inside[48]


@pytest.mark.parametrize("samples", [1, 5, 700, 30_000])
def test_recordings_of_any_length_have_pictures(tmp_path, samples):
    soundfile.write(tmp_path / "a.wav", 0.1 * np.ones(samples), 8000)
    with open_recording(str(tmp_path / "a.wav")) as recording:
        extremes, magnitudes = overview.measure(recording)
    assert extremes.shape[1] == magnitudes.shape[1] == min(samples, 1200)


@pytest.mark.parametrize("seconds", [0.05, 0.5, 4.03])
def test_the_ends_of_a_spectrogram_are_as_its_middle(tmp_path, seconds):
    """A tone is a line from the beginning to the end, smeared nowhere."""
    t = np.arange(int(seconds * RATE)) / RATE
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 700 * t), RATE)
    with open_recording(str(tmp_path / "a.wav")) as recording:
        _, magnitudes = overview.measure(recording)
    if seconds < overview.FRAME_S:
        assert np.isfinite(magnitudes).all()
        return
    shares = magnitudes / magnitudes.max()
    assert np.abs(shares - shares[:, [shares.shape[1] // 2]]).max() < 0.02
