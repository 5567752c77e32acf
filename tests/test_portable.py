"""Separation without PyTorch gives the stems of PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys

import export
import numpy as np
import pytest
import soundfile
from conftest import ROOT, write_cloud
from test_separator import RATE, cloud, music, write_run

from separation import PortableSeparator, Separator
from utils.errors import InputError

pytest.importorskip("onnxscript", reason="pip install -r requirements-onnx.txt")
pytest.importorskip("onnxruntime", reason="pip install -r requirements-onnx.txt")
NAMES = ("violin", "cello")
CLOUDS = [(xyz + np.float32([0, 0.5, 0]), rgb) for xyz, rgb in (cloud(1), cloud(2))]  # on the floor


def exported(folder, *options, moved_by=(0.0, 0.0, 0.0)):
    """A run and its export with the vectors of two clouds."""
    (folder / "run").mkdir(parents=True, exist_ok=True)
    run = write_run(folder / "run", *options)
    for name, (xyz, rgb) in zip(NAMES, CLOUDS, strict=True):
        write_cloud(folder / f"{name}.ply", xyz + moved_by, (255 * rgb).round())
    words = [run, folder / "model", "--onnx", "--points", *(folder / f"{name}.ply" for name in NAMES)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["export.py", *map(str, words)])
        export.main()
    return run, folder / "model"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    run, model = exported(tmp_path_factory.mktemp("portable"))
    return Separator.from_run(run, "cpu"), PortableSeparator(model), model


def ratio_db(found, expected):
    return 10 * np.log10((expected**2).sum() / ((found - expected) ** 2).sum())


@pytest.mark.parametrize("rate", [2 * RATE, RATE, 8000, RATE // 4])
@pytest.mark.parametrize("masks", ["binary", "soft", "shared"])
def test_the_same_stems(pair, masks, rate):
    """To 0.01 dB of a stem's energy and far below; a few points of binary masks lie at the threshold."""
    ours, portable, _ = pair
    seen = [(xyz, np.float32((255 * rgb).round() / 255)) for xyz, rgb in CLOUDS]
    waves = np.concatenate([music(), -0.5 * music()])  # two channels, resampled, several windows
    expected = ours.separate(np.tile(waves, 3), rate, seen, masks)
    found = portable.separate(np.tile(waves, 3), rate, NAMES, masks)
    assert found.shape == expected.shape
    for one, other in zip(found, expected, strict=True):
        assert abs(10 * np.log10((one**2).sum() / (other**2).sum())) < 0.01
        assert ratio_db(one, other) > (35 if masks == "binary" else 60)


def test_clouds_that_stand_elsewhere_have_the_vectors_of_the_origin(tmp_path):
    """As in a separation by PyTorch."""
    places = {"left": (3.0, 0.0, -2.0), "right": (-4.0, 0.0, 1.0)}
    left, right = (
        PortableSeparator(exported(tmp_path / side, moved_by=place)[1]).vectors for side, place in places.items()
    )
    np.testing.assert_allclose(left["violin"], right["violin"], atol=1e-4)


def test_any_number_of_sources(pair):
    ours, portable, _ = pair
    vectors = [portable.vectors["violin"], portable.vectors["cello"], 0.5 * portable.vectors["cello"]]
    assert portable.separate(music(), RATE, vectors).shape[0] == 3
    assert portable.separate(music(), RATE, vectors[:1]).shape[0] == 1
    assert (portable.separate(np.zeros((1, 5000)), RATE, vectors) == 0).all()


def test_without_pytorch(pair, tmp_path):
    """In a process where it cannot be imported."""
    _, portable, model = pair
    code = f"""
import sys
sys.modules["torch"] = None
sys.path.insert(0, {str(ROOT)!r})
import numpy as np, soundfile
from separation import PortableSeparator
from dataset.audio import open_recording
separator = PortableSeparator({str(model)!r})
with open_recording("song.wav") as recording:
    stems = np.concatenate(list(separator.stream(recording, ["violin", "cello"])), axis=-1)
np.save("stems.npy", stems)
"""
    soundfile.write(tmp_path / "song.wav", music()[0], RATE, subtype="FLOAT")
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, text=True, capture_output=True)
    assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "stems.npy"), portable.separate(music(), RATE, NAMES))


def test_what_is_wrong_is_told(pair, tmp_path):
    _, portable, model = pair
    with pytest.raises(InputError, match="flute: not a cloud of this model; it has violin, cello"):
        portable.separate(music(), RATE, ["flute"])
    with pytest.raises(InputError, match="masks 'hard': expected one of auto, binary, soft, shared"):
        portable.separate(music(), RATE, NAMES, "hard")
    with pytest.raises(InputError, match="no sources"):
        portable.separate(music(), RATE, [])
    with pytest.raises(InputError, match="a waveform is"):
        portable.separate(music()[0], RATE, NAMES)
    with pytest.raises(InputError, match="a rate of 0 Hz"):
        portable.separate(music(), 0, NAMES)
    for vector in (np.zeros(3), np.zeros((1, portable.channels)), np.full(portable.channels, np.nan)):
        with pytest.raises(InputError, match="a vector of this model has"):
            portable.separate(music(), RATE, [vector])
    with pytest.raises(InputError, match="onnx.json: cannot be read"):
        PortableSeparator(tmp_path)
    (tmp_path / "onnx.json").write_text((model / "onnx.json").read_text())
    (tmp_path / "masks.onnx").write_bytes(b"none")
    with pytest.raises(InputError, match="masks.onnx: cannot be read as an ONNX model"):
        PortableSeparator(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        *({"format": 3}, {"window": None}, {"window": "x"}, {"stft_hop": 0}, {"rate_hz": True}, {"rule": "odd"}),
        *({"threshold": "x"}, {"log_magnitude": None}, {"log_magnitude": float("nan")}, {"window": 10**30}),
        *({"window": 4096}, {"stft_frame": 8}, {"stft_hop": 5000}, {"window": 2**27}, {"log_magnitude": 1e6}),
        *({"vectors": {"a": [1e99] * 8}},),
        *({"vectors": []}, {"vectors": {"a": "x"}}, {"vectors": {"a": [1, 2]}}, {"vectors": {"a": [[1]]}}),
    ],
)
def test_damaged_settings(pair, tmp_path, change):
    _, _, model = pair
    for path in model.iterdir():
        (tmp_path / path.name).symlink_to(path)
    settings = json.loads((model / "onnx.json").read_text())
    (tmp_path / "onnx.json").unlink()
    (tmp_path / "onnx.json").write_text(json.dumps({**settings, **change}))
    with pytest.raises(InputError, match="onnx.json: "):
        PortableSeparator(tmp_path)


def test_another_model_in_its_place(pair, tmp_path):
    _, _, model = pair
    for name in ("onnx.json", "axis.onnx"):
        (tmp_path / name).symlink_to(model / name)
    (tmp_path / "masks.onnx").symlink_to(model / "axis.onnx")
    with pytest.raises(InputError, match="masks.onnx: another model than"):
        PortableSeparator(tmp_path)


def test_ratio_masks_and_softmax(tmp_path):
    for number, options in enumerate((["--binary_mask", "0", "--loss", "l1"], ["--output_activation", "softmax"])):
        run, model = exported(tmp_path / str(number), *options)
        seen = [(xyz, np.float32((255 * rgb).round() / 255)) for xyz, rgb in CLOUDS]
        expected = Separator.from_run(run, "cpu").separate(music(), RATE, seen, "soft")
        found = PortableSeparator(model).separate(music(), RATE, NAMES, "soft")
        worst = min(ratio_db(one, other) for one, other in zip(found, expected, strict=True))
        assert worst > 35  # random weights make large logits, and a softmax of those depends on their rounding
