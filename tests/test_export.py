"""Models to share: exported, separated with, fetched and sent by a hub, and trained further."""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path

import export
import numpy as np
import pytest
import torch
from conftest import ROOT, write_cloud
from test_separator import CLOUDS, RATE, music, write_run
from tiny_runs import run_of

from separation import Separator
from utils.errors import InputError, WriteError
from utils.shared_weights import load_net, save_nets


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def call(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["export.py", *map(str, words)])
    export.main()


def test_an_exported_model_separates_as_the_run(run, tmp_path, monkeypatch):
    call(monkeypatch, run, tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    expected = Separator.from_run(run, "cpu").separate(music(), RATE, CLOUDS)
    for make in (Separator.from_run, Separator.from_pretrained):
        np.testing.assert_array_equal(make(tmp_path / "model", "cpu").separate(music(), RATE, CLOUDS), expected)
    call(monkeypatch, tmp_path / "model", tmp_path / "again")  # of a model a model can be made
    whole = torch.load(run / "sound_best.pth", weights_only=True)
    found = load_net(tmp_path / "again" / "model.safetensors", "sound")
    assert found.keys() == whole.keys() and all(torch.equal(found[name], value) for name, value in whole.items())


def test_the_beginning_of_a_name_is_enough(tmp_path, monkeypatch):
    run = write_run(tmp_path / "mine-2mix")
    evaluated(run)
    call(monkeypatch, tmp_path / "mine", tmp_path / "model")
    assert "Means of 7 mixtures" in (tmp_path / "model" / "README.md").read_text()


def test_nothing_of_the_machine_is_told(run, tmp_path, monkeypatch):
    call(monkeypatch, run, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert not {"ckpt", "device", "list_train", "cache", "workers"} & set(config["options"]) and config["format"] == 1
    everything = b"".join(path.read_bytes() for path in (tmp_path / "model").iterdir())
    assert str(tmp_path).encode() not in everything and str(ROOT).encode() not in everything


def test_the_card_has_the_scores(train, tmp_path, monkeypatch):
    train("--ckpt", "ckpt")
    call(monkeypatch, run_of(tmp_path / "ckpt"), tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    assert "made from the list `list.csv`" in card and "| separated | " in card and "cello, saxophone, violin" in card
    assert card.startswith("---\nlicense: other\n") and card.count("*to be filled in*") == 3


def test_folders_that_are_taken(run, tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    call(monkeypatch, run, tmp_path / "model")
    with pytest.raises(InputError, match="model: already holds README.md; choose another"):
        call(monkeypatch, run, tmp_path / "model")
    call(monkeypatch, run, tmp_path / "model", "--overwrite", "1")
    (tmp_path / "model" / "mine.txt").write_text("kept")
    with pytest.raises(InputError, match="already holds mine.txt, which is no part of an .* model; .* move it away"):
        call(monkeypatch, run, tmp_path / "model", "--overwrite", "1")
    with pytest.raises(InputError, match="nowhere: no such folder"):
        call(monkeypatch, tmp_path / "nowhere", tmp_path / "other")
    assert not (tmp_path / "other").exists() and not list(tmp_path.glob(".export*"))


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 20, (10**15).to_bytes(8, "little") + b"{}"])
def test_damaged_weights(run, tmp_path, monkeypatch, content):
    call(monkeypatch, run, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="model.safetensors: not a whole safetensors file"):
        Separator.from_pretrained(tmp_path / "model", "cpu")


def test_a_hub(run, tmp_path, monkeypatch):
    """By a stand-in for huggingface_hub: there is no network here."""
    sent = {}
    hub = types.ModuleType("huggingface_hub")
    hub.create_repo = lambda name, exist_ok: None
    hub.upload_folder = lambda repo_id, folder_path, allow_patterns: (
        sent.update({repo_id: folder_path, "patterns": allow_patterns}) or "address"
    )
    hub.snapshot_download = lambda name, allow_patterns: sent[name]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    model = tmp_path / "model"
    call(monkeypatch, run, model)
    (model / "masks.onnx").write_text("")
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    call(monkeypatch, model, "--push", "me/cellos")
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before and "masks.onnx" in sent["patterns"]
    Separator.from_pretrained("me/cellos", "cpu")
    with pytest.raises(InputError, match="you/none: there is no such folder, and it cannot be downloaded"):
        Separator.from_pretrained("you/none", "cpu")
    with pytest.raises(InputError, match="a b: expected OWNER/NAME"):
        call(monkeypatch, model, "--push", "a b")
    with pytest.raises(InputError, match="--push takes an exported model alone"):
        call(monkeypatch, run, model, "--push", "me/cellos")
    with pytest.raises(InputError, match="run: no model.safetensors; --push takes a folder that this command wrote"):
        call(monkeypatch, run, "--push", "me/cellos")
    sent["me/pickles"] = run
    with pytest.raises(InputError, match="me/pickles: a model on the Hugging Face Hub without model.safetensors"):
        Separator.from_pretrained("me/pickles", "cpu")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match="huggingface_hub is not installed"):
        call(monkeypatch, model, "--push", "me/cellos")


def test_training_starts_from_a_model(train, tmp_path, monkeypatch, capsys):
    train("--ckpt", "first")
    first = run_of(tmp_path / "first")
    call(monkeypatch, first, tmp_path / "model")
    train("--ckpt", "second", "--init", tmp_path / "model", "--freeze", "sound", "--overwrite", "1")
    weights, frozen = (
        torch.load(run_of(tmp_path / name) / f"sound_{label}.pth", weights_only=True)
        for name, label in (("first", "best"), ("second", "latest"))
    )
    assert all(torch.equal(value, weights[name]) for name, value in frozen.items())  # running statistics too
    vision = [torch.load(run_of(tmp_path / n) / "vision_latest.pth", weights_only=True) for n in ("first", "second")]
    assert any(not torch.equal(value, vision[1][name]) for name, value in vision[0].items())
    said = capsys.readouterr().out
    assert "synthesizer net: 2 of 2 tensors" in said
    train("--ckpt", "third", "--init", first, "--num_channels", "7", "--num_epoch", "1")
    assert "; new: " in capsys.readouterr().out
    for net in ("sound", "vision"):
        with pytest.raises(InputError, match=f"--freeze {net}: .* would stay random"):
            train("--ckpt", f"{net} of others", "--init", first, "--num_channels", "7", "--freeze", net)
        with pytest.raises(InputError, match=f"--freeze {net}: random weights would stay; .* or --weights_{net}"):
            train("--ckpt", f"no {net}", "--freeze", net)
    with pytest.raises(InputError, match="nowhere: no such folder"):
        train("--ckpt", "fourth", "--init", "nowhere")


def evaluated(run, **summary):
    """Writes scores of an evaluation of the run's best weights, and what `summary` says."""
    weights = [str(run / f"{net}_best.pth") for net in ("sound", "vision", "synthesizer")]
    content = {"n_mixtures": 7, "n_scored": 7, "sdr": 5.25, "list_val": "there/test.csv", "per_instrument": {}}
    (run / "metrics.json").write_text(json.dumps({**content, "weights": weights, **summary}))


def card_of(run, monkeypatch, folder):
    call(monkeypatch, run, folder)
    return (folder / "README.md").read_text()


def test_scores_are_those_of_the_weights(train, tmp_path, monkeypatch):
    """Not those of the last epoch, nor of an evaluation of other weights."""
    train("--ckpt", "ckpt")
    run = run_of(tmp_path / "ckpt")
    history = torch.load(run / "history_latest.pth", weights_only=True)
    history["val"][0]["loss"], history["val"][0]["sdr"] = 1e-6, 3.21  # epoch 0 was the best one
    torch.save(history, run / "history_latest.pth")
    (run / "last.pth").unlink()
    card = card_of(run, monkeypatch, tmp_path / "a")
    assert "3.21" in card and "after epoch 0 of its training" in card and "made from the list `list.csv`" in card
    evaluated(run, weights=["elsewhere/other.pth"] * 3)
    assert "3.21" in card_of(run, monkeypatch, tmp_path / "b")
    evaluated(run, masks="soft", eval_list="ckpt/earlier/metrics.csv")
    card = card_of(run, monkeypatch, tmp_path / "c")
    assert "5.25" in card and "with `--masks soft`" in card and "the list `earlier/metrics.csv`" in card


@pytest.mark.parametrize("table", [None, [{}], {"a": 3}, {"a": {"n": "x"}}])
def test_scores_that_are_damaged(run, tmp_path, monkeypatch, table):
    evaluated(run, per_instrument=table)
    with pytest.raises(InputError, match="metrics.json: not the scores of an evaluation"):
        call(monkeypatch, run, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_names_of_instruments_do_not_break_the_card(run, tmp_path, monkeypatch):
    evaluated(run, per_instrument={"a|b\nc": {"n": 1, "sdr": 1.0, "sdr_mixture": 0.0}})
    assert "- Instruments it was scored on: a/b c\n" in card_of(run, monkeypatch, tmp_path / "model")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"x": 3}, "weights of another architecture"),
        ({"foo.weight": torch.zeros(2)}, "weights of another architecture"),
        (None, "bn0.weight holds NaN"),
    ],
)
def test_weights_are_checked(run, tmp_path, monkeypatch, weights, message):
    path = run / "sound_best.pth"
    if weights is None:
        weights = torch.load(path, weights_only=True)
        weights["bn0.weight"].fill_(torch.nan)
    torch.save(weights, path)
    with pytest.raises(InputError, match=f"sound_best.pth: .*{message}"):
        call(monkeypatch, run, tmp_path / "model")
    assert not list(tmp_path.glob("model")) + list(tmp_path.glob(".export*"))


def test_others_can_read_it(run, tmp_path, monkeypatch):
    mask = os.umask(0o022)
    try:
        call(monkeypatch, run, tmp_path / "model")
    finally:
        os.umask(mask)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()} == {0o644}


def test_a_card_that_was_edited_stays(run, tmp_path, monkeypatch, capsys):
    model = tmp_path / "model"
    call(monkeypatch, run, model)
    call(monkeypatch, run, model, "--overwrite", "1")  # nobody has changed it
    assert not (model / "README.new.md").exists()
    (model / "README.md").write_text("mine")
    for _ in range(2):
        call(monkeypatch, run, model, "--overwrite", "1")
        assert (model / "README.md").read_text() == "mine"
        assert (model / "README.new.md").read_text().startswith("---")
    assert "README.md was edited and stays" in capsys.readouterr().out
    assert card_of(model, monkeypatch, tmp_path / "again") == "mine"
    Separator.from_pretrained(model, "cpu")


def test_a_failure_leaves_what_was_there(run, tmp_path, monkeypatch):
    """A library that is missing, for one: nothing is written, and what was exported before stays."""
    call(monkeypatch, run, tmp_path / "model")
    (tmp_path / "model" / "masks.onnx").write_text("earlier")
    monkeypatch.setattr("separation.onnx_export.AxisNet", None)
    for words in (("model", "--overwrite", "1"), ("other",)):
        with pytest.raises(TypeError):
            call(monkeypatch, run, tmp_path / words[0], "--onnx", *words[1:])
    assert (tmp_path / "model" / "masks.onnx").read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "run"]


def test_a_link_to_a_folder_is_followed(run, tmp_path, monkeypatch):
    call(monkeypatch, run, tmp_path / "model")
    (tmp_path / "link").symlink_to("model")
    call(monkeypatch, run, tmp_path / "link", "--overwrite", "1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "model", "run"]
    Separator.from_pretrained(tmp_path / "link", "cpu")


def test_the_working_directory_stays(run, tmp_path, monkeypatch, capsys):
    """Also a folder that cannot be renamed, such as a mount point; the files go into it one by one."""
    (tmp_path / "here" / ".export.killed.tmp").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    call(monkeypatch, "../run", ".")
    assert sorted(os.listdir()) == ["README.md", "config.json", "model.safetensors"]
    assert "fill in data" in capsys.readouterr().out
    Path("axis.onnx").write_text("of an earlier export")
    call(monkeypatch, "../run", ".", "--overwrite", "1")
    assert sorted(os.listdir()) == ["README.md", "config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("place", "message"),
    [("song.wav/x", "song.wav/x: cannot be written .*song.wav: "), ("loop", "loop: .*; expected the name of a new")],
)
def test_what_is_in_the_way_is_named(run, tmp_path, monkeypatch, place, message):
    (tmp_path / "song.wav").write_text("x")
    (tmp_path / "loop").symlink_to("pool")
    (tmp_path / "pool").symlink_to("loop")
    with pytest.raises((InputError, WriteError), match=message):
        call(monkeypatch, run, tmp_path / place)


def test_settings_that_are_missing_or_of_a_later_version(run, tmp_path, monkeypatch):
    call(monkeypatch, run, tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(InputError, match="config.json: of format 99, which this version does not know"):
        Separator.from_pretrained(tmp_path / "model", "cpu")
    config.unlink()
    with pytest.raises(InputError, match="config.json: missing"):
        Separator.from_pretrained(tmp_path / "model", "cpu")


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.complex64, torch.bool])
def test_numbers_of_odd_types(run, tmp_path, monkeypatch, dtype):
    call(monkeypatch, run, tmp_path / "model")
    nets = {net: load_net(tmp_path / "model" / "model.safetensors", net) for net in ("sound", "vision", "synthesizer")}
    nets["sound"]["bn0.weight"] = nets["sound"]["bn0.weight"].to(dtype)
    save_nets(nets, tmp_path / "model" / "model.safetensors")
    with pytest.raises(InputError, match="bn0.weight holds numbers of type"):
        Separator.from_pretrained(tmp_path / "model", "cpu")


def test_the_beginning_of_a_folders_name_is_no_name_on_a_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "ckpt" / "mine-2mix")
    Separator.from_pretrained("ckpt/mine", "cpu")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match="ckpt/mymodle: there is no such folder"):
        Separator.from_pretrained("ckpt/mymodle", "cpu")


def test_vectors_of_labels_follow_their_names(train, tmp_path, monkeypatch, capsys):
    train("--ckpt", "first", "--arch_vision", "label", "--instruments", "cello", "saxophone", "violin")
    first = run_of(tmp_path / "first")
    words = ("--arch_vision", "label", "--instruments", "flute", "saxophone", "cello", "violin", "--freeze", "vision")
    train("--ckpt", "second", "--init", first, *words)
    old, new = (
        torch.load(run / "vision_best.pth", weights_only=True)["fc.weight"]
        for run in (first, run_of(tmp_path / "second"))
    )
    torch.testing.assert_close(new[1:], old[[1, 0, 2]])
    assert "vectors of instruments: 3 from" in (said := capsys.readouterr().out) and "; new: flute" in said


def test_what_does_not_fit_is_listed_and_damage_is_told(train, tmp_path, capsys):
    train("--ckpt", "first")
    first = run_of(tmp_path / "first")
    capsys.readouterr()
    train("--ckpt", "second", "--init", first, "--num_channels", "7", "--num_epoch", "1")
    said = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("synthesizer net: "))
    assert said.endswith("; new: scale; not taken: scale")
    weights = torch.load(first / "sound_best.pth", weights_only=True)
    weights["bn0.weight"].fill_(torch.nan)
    torch.save(weights, first / "sound_best.pth")
    with pytest.raises(InputError, match="bn0.weight holds NaN"):
        train("--ckpt", "third", "--init", first)


def test_clouds_have_the_names_of_separate_py(run, tmp_path, monkeypatch):
    pytest.importorskip("onnxscript", reason="pip install -r requirements-onnx.txt")
    for name, (xyz, rgb) in zip(("violin", "cello"), CLOUDS, strict=True):
        write_cloud(tmp_path / name / "person_1" / "00000.ply", xyz, (255 * rgb).round())
    clouds = [tmp_path / name / "person_1" for name in ("violin", "cello")]
    call(monkeypatch, run, tmp_path / "model", "--onnx", "--points", *clouds)
    assert list(json.loads((tmp_path / "model" / "onnx.json").read_text())["vectors"]) == ["violin", "cello"]
