"""The reference case: instruments' labels instead of clouds, from training to a separated recording."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT
from test_main import TINY, TRAIN, fails_in_one_line, main, python

from arguments import parse_arguments
from dataset.collate import collate
from dataset.index import IndexRow
from dataset.music import MUSICMixDataset
from dataset.settings import FrameSettings, VoxelSettings, Window
from from_options import build_model
from models.label_net import LabelNet
from separation import Separator
from utils.errors import InputError

INSTRUMENTS = ["cello", "saxophone", "violin"]
SETTINGS = dict(
    training=True, num_samples=12, seed=0, num_mix=2, window=Window(8191, 11025), frames=FrameSettings(1, 1),
    voxels=VoxelSettings(0.1, colours=False),
)  # fmt: skip


@pytest.fixture(scope="module")
def tree(data_tree):
    assert python(data_tree, ROOT / "scripts" / "create_index_files.py").returncode == 0
    result = main(data_tree, *TRAIN, "--arch_vision", "label", "--id", "label")
    assert result.returncode == 0, result.stderr
    return data_tree, result


@pytest.fixture(scope="module")
def run(tree):
    (folder,) = (tree[0] / "ckpt").glob("label-2mix-*-label-unet5-*")
    return folder


def test_a_vector_for_each_instrument():
    net = LabelNet(5, 3)
    labels = torch.tensor([2, 0, 2])
    vectors = net(labels)
    assert vectors.shape == (3, 5) and torch.equal(vectors[0], vectors[2]) and not torch.equal(vectors[0], vectors[1])
    assert set(net.state_dict()) == {"fc.weight"}


def test_samples_with_labels_sound_as_those_with_clouds(rows):
    """The same mixtures, the same gains: only what is seen differs."""
    with_clouds, with_labels = (
        MUSICMixDataset(rows, **SETTINGS),
        MUSICMixDataset(rows, **SETTINGS, instruments=INSTRUMENTS),
    )
    samples = [with_labels[1, index] for index in range(4)]
    for index, sample in enumerate(samples):
        seen = with_clouds[1, index]
        assert sample.draws == seen.draws and np.array_equal(sample.waves, seen.waves) and not sample.clouds
        assert [INSTRUMENTS[label] for label in sample.labels] == [draw.row.instrument for draw in sample.draws]
    batch = collate(samples)
    (labels,) = batch.clouds
    assert labels.tolist() == [sample.labels[n] for n in range(2) for sample in samples]


def test_every_part_learns():
    options = parse_arguments([*TINY, "--arch_vision", "label", "--instruments", *INSTRUMENTS])
    model = build_model(options)
    sources = 0.1 * torch.randn(2, 3, 8191, generator=torch.Generator().manual_seed(0))
    result = model(sources.sum(0), (torch.tensor([0, 1, 2, 1, 2, 0]),), sources)
    assert result.vision_features.shape == (2, 3, 4)
    torch.testing.assert_close(result.vision_features[0, 1], result.vision_features[1, 0])  # both instrument 1
    result.loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.vision.parameters())


def test_the_run_knows_its_instruments(run):
    config = json.loads((run / "config.json").read_text())
    assert config["options"]["instruments"] == INSTRUMENTS
    assert torch.load(run / "vision_best.pth", weights_only=True)["fc.weight"].shape == (3, 4)
    assert json.loads((run / "metrics.json").read_text())["n_scored"] == 3


def test_it_is_evaluated_and_resumed_as_it_was_trained(tree, run):
    evaluated = main(tree[0], "--mode", "eval", "--id", run.name, "--list_val", "data/test.csv", "--num_vis", "1")
    assert evaluated.returncode == 0, evaluated.stderr
    assert "as the run was trained: --arch_vision label" in evaluated.stdout
    again = main(tree[0], *TRAIN, "--arch_vision", "label", "--id", "label", "--resume", "1")
    assert again.returncode == 0 and "finished, epoch 2 of 2" in again.stdout, again.stderr


def test_what_it_does_not_know_is_told(tree, run, tmp_path):
    flute = IndexRow("audio/flute/a.mp3", "frames/flute/person_1", 3, "list.csv:7")
    with pytest.raises(InputError, match="list.csv:7: flute is not among the instruments of the run: cello sax"):
        MUSICMixDataset([flute, flute], **{**SETTINGS, "num_mix": 1}, instruments=INSTRUMENTS)
    bare = [
        "--mode",
        "eval",
        "--id",
        "bare",
        "--ckpt",
        tmp_path,
        "--arch_vision",
        "label",
        "--list_val",
        "data/test.csv",
    ]
    fails_in_one_line(main(tree[0], *bare), "--instruments must name them")
    frames = main(tree[0], *TRAIN, "--arch_vision", "label", "--num_frames", "3")
    fails_in_one_line(frames, "--arch_vision label looks at no frames")
    fails_in_one_line(
        main(tree[0], *TRAIN, "--instruments", "cello"), "--instruments cello: they are for --arch_vision label"
    )


def test_a_recording_is_separated_by_names(tree, run, tmp_path):
    soundfile.write(tmp_path / "song.wav", 0.1 * np.random.default_rng(0).standard_normal(20_000), 11025)
    command = [ROOT / "scripts" / "separate.py", "--mixture", tmp_path / "song.wav", "--run", run, "--device", "cpu"]
    result = python(
        tree[0], *command, "--output", tmp_path / "out", "--labels", "violin", "cello", "--masks", "soft", "--report"
    )
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"violin.wav", "cello.wav", "report"}
    wrong = python(tree[0], *command, "--output", tmp_path / "other", "--labels", "violin", "flute")
    fails_in_one_line(wrong, "source 2: 'flute'; this run was trained on labels and knows cello, saxophone, violin")
    separator = Separator.from_run(run, "cpu")
    with pytest.raises(InputError, match="source 1: a cloud; this run was trained on labels"):
        separator.look([(np.zeros((3, 3)), None)])
