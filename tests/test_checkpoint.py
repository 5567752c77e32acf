"""Checkpoints: whole or not there, never run code, and say what does not fit."""

from __future__ import annotations

import pickle
import zipfile

import pytest
import torch
from torch import nn

from utils import checkpoint
from utils.errors import InputError


class RunsCode:
    def __reduce__(self):
        return (print, ("code from a checkpoint ran",))


def test_save_and_load(tmp_path):
    content = {"weight": torch.arange(3.0), "epoch": 4, "loss": [0.5]}
    checkpoint.save(content, tmp_path / "a.pth")
    loaded = checkpoint.load(tmp_path / "a.pth")
    assert torch.equal(loaded["weight"], content["weight"]) and loaded["epoch"] == 4
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]


def test_a_failed_save_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.pth"
    checkpoint.save({"epoch": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        checkpoint.save({"epoch": lambda: None}, path)
    assert checkpoint.load(path) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]


def bad_files(folder):
    torch.save({"weight": torch.zeros(1000)}, folder / "whole.pth")
    (folder / "truncated.pth").write_bytes((folder / "whole.pth").read_bytes()[:2000])
    (folder / "empty.pth").write_bytes(b"")
    (folder / "text.pth").write_text("weights\n")
    (folder / "code.pth").write_bytes(pickle.dumps({"weight": RunsCode()}))
    torch.save({"weight": RunsCode()}, folder / "code2.pth")
    torch.save([1, 2], folder / "list.pth")
    with zipfile.ZipFile(folder / "whole.pth") as whole, zipfile.ZipFile(folder / "packed.pth", "w", 8) as packed:
        for part in whole.infolist():  # a gigabyte of zeros would take a megabyte so
            packed.writestr(part.filename, whole.read(part))
    torch.save({"a": {"b": torch.zeros(1).expand(2**40)}}, folder / "strides.pth")
    torch.save({"weight": torch.eye(3).to_sparse()}, folder / "sparse.pth")
    torch.save({"weight": torch.empty(9, device="meta")}, folder / "meta.pth")


BAD = ["truncated", "empty", "text", "code", "code2", "list", "missing", "packed", "strides", "sparse", "meta"]


@pytest.mark.parametrize("name", BAD)
def test_files_that_cannot_be_loaded(tmp_path, name, capfd):
    bad_files(tmp_path)
    with pytest.raises(InputError, match=f"{name}.pth") as error:
        checkpoint.load(tmp_path / f"{name}.pth")
    assert "\n" not in str(error.value)
    assert "ran" not in capfd.readouterr().out


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: ...")])
def test_too_little_memory_is_no_damage(tmp_path, monkeypatch, error):
    def fails(*_, **__):
        raise error

    checkpoint.save({"epoch": 1}, tmp_path / "a.pth")
    monkeypatch.setattr(torch, "load", fails)
    with pytest.raises(InputError, match="a.pth: there is too little memory to read it"):
        checkpoint.load(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"weight": torch.zeros(2, 2)}, "no bias"),
        ({"weight": torch.zeros(5, 2), "bias": torch.zeros(2)}, r"weight is \[5, 2\], expected \[2, 2\]"),
        ({"weight": torch.zeros(2, 2), "bias": torch.zeros(2), "scale": torch.zeros(1)}, "unexpected scale"),
        ({"weight": "text", "bias": torch.zeros(2)}, "weight is"),
    ],
)
def test_weights_of_another_net(tmp_path, weights, message):
    checkpoint.save(weights, tmp_path / "a.pth")
    with pytest.raises(InputError, match=message):
        checkpoint.fill(nn.Linear(2, 2), checkpoint.load(tmp_path / "a.pth"), tmp_path / "a.pth")
