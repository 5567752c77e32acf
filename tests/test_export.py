"""Models to share: exported, separated with, fetched and sent by a hub, and trained further."""

from __future__ import annotations

import json
import sys
import types

import export
import numpy as np
import pytest
import torch
from conftest import ROOT
from test_separator import CLOUDS, RATE, music, write_run
from tiny_runs import run_of

from separation import Separator
from utils.errors import InputError
from utils.shared_weights import load_net


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
    (run / "metrics.json").write_text('{"n_scored": 7}')
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
    with pytest.raises(InputError, match="already holds mine.txt"):
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
    hub.upload_folder = lambda repo_id, folder_path, allow_patterns: sent.update({repo_id: folder_path}) or "address"
    hub.snapshot_download = lambda name, allow_patterns: sent[name]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    call(monkeypatch, run, tmp_path / "model", "--push", "me/cellos")
    Separator.from_pretrained("me/cellos", "cpu")
    with pytest.raises(InputError, match="you/none: cannot be downloaded"):
        Separator.from_pretrained("you/none", "cpu")
    with pytest.raises(InputError, match="a b: expected OWNER/NAME"):
        call(monkeypatch, run, tmp_path / "model", "--overwrite", "1", "--push", "a b")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match="huggingface_hub is not installed"):
        Separator.from_pretrained("me/cellos", "cpu")


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
    with pytest.raises(InputError, match="nowhere: no such folder"):
        train("--ckpt", "fourth", "--init", "nowhere")
