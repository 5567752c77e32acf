"""Separation with a run: what the evaluation gives, at any level, in any number of channels, as long as it may be."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import soxr
import torch
from conftest import DEVICES, ROOT
from test_stream import low_noise, noise

from arguments import build_parser, parse_arguments
from dataset.collate import collate_clouds
from dataset.settings import VoxelSettings
from dataset.voxels import make_voxels
from from_options import build_model
from runs.folder import PUBLISHED_OPTIONS, run_options
from separation import Separator
from separation.stream import Waveform
from utils import checkpoint
from utils.errors import InputError

RATE, WINDOW = 11025, 8191
MODEL = [
    *("--id", "small", "--arch_sound", "unet5", "--ngf", "4", "--num_channels", "4", "--audLen", str(WINDOW)),
    *("--voxel_size", "0.1", "--rgbs_feature", "1", "--vision_activation", "no"),
]


def random_net(options):
    """A net whose masks are far from one half and differ from source to source, as after training."""
    torch.manual_seed(0)
    net = build_model(options)
    with torch.no_grad():
        for module in net.sound.modules():
            if isinstance(module, torch.nn.Conv2d):
                drawn = torch.nn.init.kaiming_normal_(torch.empty(module.weight.shape))
                module.weight.copy_(drawn)  # whatever its layout in memory
        net.sound.bn0.running_mean.fill_(-3.0)
        net.sound.bn0.running_var.fill_(4.0)
        net.synthesizer.scale.normal_(0, 2)
        # The vision net's batch normalisation has seen clouds like those of the tests.
        for module in net.vision.modules():
            if hasattr(module, "momentum"):
                module.momentum = 1.0
        voxels = [make_voxels("", *cloud(n), VoxelSettings(0.1, colours=True)) for n in range(8)]
        net.train().vision(*collate_clouds(voxels))
        net.vision.fc.kernel *= 5
    return net


def write_run(folder, *arguments, config=True):
    options = parse_arguments([*MODEL, *arguments])
    net = random_net(options)
    for part in ("sound", "vision", "synthesizer"):
        checkpoint.save(getattr(net, part).state_dict(), folder / f"{part}_best.pth")
    if config:
        (folder / "config.json").write_text(json.dumps({"options": vars(options)}))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module", params=DEVICES)
def separator(run, request):
    return Separator.from_run(run, request.param)


@pytest.fixture(scope="module")
def softmax(tmp_path_factory):
    return Separator.from_run(write_run(tmp_path_factory.mktemp("softmax"), "--output_activation", "softmax"), "cpu")


def cloud(seed, colours=True):
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(-0.5, 0.5, (400, 3)).astype(np.float32)
    return xyz, rng.uniform(0, 1, (400, 3)).astype(np.float32) if colours else None


CLOUDS = [cloud(1), cloud(2)]


def music(channels=1, seconds=3.0, rate=RATE, seed=0):
    """Tones and noise at about the level of a recording."""
    t = np.arange(int(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * f * t + f) for f in (220, 331, 587, 1320, 2217)) / 20
    return (tones + 0.02 * low_noise(channels, seconds, rate)[:, : len(t)]).astype(np.float32)


def noisy_music(seconds=8.0):
    """The same with noise up to half of the rate."""
    return music(seconds=seconds) + np.float32(0.01) * noise(1, int(seconds * RATE))


def test_one_window_is_what_the_evaluation_gives(separator, monkeypatch):
    """At the level of training; but the outermost frames and bins, half empty there, are kept whole."""
    net, mixture = separator.net, music()[:, :WINDOW]
    voxels = collate_clouds([separator.voxels_of("", *part) for part in CLOUDS])
    voxels = tuple(part.to(separator.device) for part in voxels)
    with torch.no_grad():
        result = net(torch.from_numpy(mixture).to(separator.device), voxels)
        expected = net.apply_masks(result.spectrum, result.masks)[:, 0].cpu().numpy()
    length = expected.shape[1]
    assert np.abs(expected).max() > 0.02 and np.abs(expected[0] - expected[1]).max() > 0.005
    monkeypatch.setattr(separator, "gain", lambda source: 1.0)
    whole = separator.separate(mixture, RATE, CLOUDS)[:, 0]
    linear_masks = net.linear_masks
    monkeypatch.setattr(
        net, "linear_masks", lambda *args, **options: linear_masks(*args, **options | {"padding": "zeros"})
    )
    halved = separator.separate(mixture, RATE, CLOUDS)[:, 0]
    np.testing.assert_allclose(halved[:, : length - 511], expected[:, : length - 511], atol=1e-5)
    np.testing.assert_allclose(whole[:, 1500:-1500], halved[:, 1500:-1500], atol=1e-3)
    for end in (slice(0, 100), slice(-100, None)):
        assert np.abs(halved[:, end]).max() < 0.6 * np.abs(whole[:, end]).max()


@pytest.mark.parametrize("masks", ["binary", "soft", "shared"])
@pytest.mark.parametrize("gain", [1e-3, 0.1, 30.0])
def test_the_level_of_a_recording_changes_nothing_but_the_level(separator, gain, masks):
    mixture = music()
    stems = separator.separate(mixture, RATE, CLOUDS, masks)
    louder = separator.separate(gain * mixture, RATE, CLOUDS, masks)
    difference = np.sqrt(np.square(louder / gain - stems).mean() / np.square(stems).mean())
    assert difference < (0.03 if masks == "binary" else 1e-3)  # a few points of a binary mask lie at the threshold


def test_the_level_is_that_of_training(separator):
    """After the gain the mean log magnitude of what is played is the one the model's first layer expects."""
    source = Waveform(noisy_music(), RATE)
    gain = separator.gain(source)
    levels = []
    separator.net.sound.bn0.register_forward_pre_hook(lambda module, inputs: levels.append(inputs[0].mean().item()))
    try:
        list(separator.stream(source, CLOUDS))
    finally:
        separator.net.sound.bn0._forward_pre_hooks.clear()
    assert np.mean(levels) == pytest.approx(-3.0, abs=0.05)
    with_pauses = np.concatenate([np.zeros((1, 50_000), "f"), source.read(0, source.num_samples, RATE)], axis=1)
    assert separator.gain(Waveform(with_pauses, RATE)) == pytest.approx(gain, rel=0.1)
    assert separator.gain(Waveform(np.zeros((1, 9000), "f"), RATE)) == 1.0


@pytest.mark.parametrize("factor", [2, 4])
def test_recordings_of_lower_rates_have_about_the_same_level(separator, factor):
    """Bins above half of their rate hold rounding noise alone: if it counted, the gain would rise by 30 dB."""
    low = soxr.resample(noisy_music().T, RATE, RATE / factor, quality="VHQ").T
    found = separator.gain(Waveform(low, RATE // factor)) / separator.gain(Waveform(noisy_music(), RATE))
    assert abs(20 * np.log10(found)) < 3


def test_silence_stays_silent(separator):
    assert not separator.separate(np.zeros((2, 30_000), dtype=np.float32), RATE, CLOUDS).any()


def test_channels_share_the_masks_of_their_mean(separator):
    left = music()
    stereo = separator.separate(np.concatenate([left, -0.25 * left]), RATE, CLOUDS, masks="soft")
    mono = separator.separate(0.375 * left, RATE, CLOUDS, masks="soft")  # the mean of the channels
    np.testing.assert_allclose(stereo[:, 0], mono[:, 0] / 0.375, atol=1e-3)
    np.testing.assert_allclose(stereo[:, 1], -0.25 * stereo[:, 0], atol=1e-6)


@pytest.mark.parametrize("rate", [11025, 44100, 48000])
@pytest.mark.parametrize("seconds", [0.3, 0.75, 4.1])
def test_soft_stems_add_up_to_the_mixture(softmax, rate, seconds):
    """Below the model's band, whatever the length, in mono and stereo, up to both ends."""
    mixture = low_noise(2, seconds, rate, top_hz=4000)
    rise = np.minimum(np.arange(mixture.shape[1]) / rate / 0.02, 1)
    mixture *= np.sin(np.pi / 2 * rise * rise[::-1]) ** 2  # no step at the ends, which would reach beyond the band
    mixture /= np.abs(mixture).max()
    stems = softmax.separate(mixture, rate, [*CLOUDS, cloud(3)], masks="soft")
    assert stems.shape == (3, *mixture.shape)
    assert np.abs(stems[0] - stems[1]).max() > 0.01
    np.testing.assert_allclose(stems.sum(axis=0), mixture, atol=1e-3)


def test_there_are_no_seams(separator):
    """The level of the stems of a stationary noise is as even as that of the noise itself, borders or not."""
    mixture = 0.1 * low_noise(1, 40.0, RATE)
    stems = separator.separate(mixture, RATE, CLOUDS, masks="soft")[:, 0]
    hop = WINDOW - round(0.5 * WINDOW)
    span = 512
    borders = [start + offset for start in range(hop, stems.shape[1] - 2 * WINDOW, hop) for offset in (0, hop // 2)]
    at_border, between = borders[0::2], borders[1::2]

    def level_db(wave, centres):
        return 10 * np.log10(np.mean([np.square(wave[c - span : c + span]).mean() for c in centres]))

    for stem in stems:
        dip = level_db(stem, at_border) - level_db(stem, between)
        of_noise = level_db(mixture[0], at_border) - level_db(mixture[0], between)
        assert abs(dip - of_noise) < 0.3


def test_the_sound_net_runs_once_a_window(separator):
    calls = []
    hook = separator.net.sound.register_forward_hook(lambda *call: calls.append(1))
    stream = separator.stream(Waveform(music(seconds=5.0), RATE), [*CLOUDS, cloud(3), cloud(4)])
    list(stream)
    hook.remove()
    assert len(calls) == len(stream) > 3


def test_frames_of_a_source(tmp_path):
    separator = Separator.from_run(write_run(tmp_path, "--num_frames", "3"), "cpu")
    three = [cloud(1), cloud(2), cloud(3)]
    seen = separator.look([three, cloud(1)])
    assert seen.shape == (2, 1, 4) and not torch.allclose(seen[0], seen[1])
    torch.testing.assert_close(separator.look([[cloud(1)] * 3]), seen[1:])  # one frame counts three times
    with pytest.raises(InputError, match="source 1: 2 frames, this run takes 3"):
        separator.look([three[:2]])


def test_a_ratio_mask_is_soft(tmp_path):
    separator = Separator.from_run(write_run(tmp_path, "--binary_mask", "0", "--loss", "l1"), "cpu")
    usual, soft = (separator.separate(music(), RATE, CLOUDS, masks) for masks in ("auto", "soft"))
    np.testing.assert_array_equal(usual, soft)
    with pytest.raises(InputError, match="masks 'hard': expected one of auto, binary, soft, shared"):
        separator.separate(music(), RATE, CLOUDS, "hard")


def test_whole_number_colours_are_those_of_files(separator):
    xyz, rgb = cloud(1)
    whole = (xyz, np.round(rgb * 255).astype(np.uint8))
    torch.testing.assert_close(separator.look([whole]), separator.look([cloud(1)]), atol=0.05, rtol=0.05)


WRONG = [
    (dict(waveform=np.zeros(9)), r"a waveform is \[channels, samples\], not \[9\]"),
    (dict(waveform=np.zeros((1, 0))), r"a waveform is \[channels, samples\], not \[1, 0\]"),
    (dict(waveform=np.full((1, 9), np.nan)), "holds NaN or infinite samples"),
    (dict(rate_hz=0), "rate of 0 Hz"),
    (dict(clouds=[]), "no clouds"),
    (dict(clouds=[cloud(1), cloud(2, colours=False)]), "source 2: a cloud without colours"),
    (dict(clouds=[(np.zeros((0, 3)), np.zeros((0, 3)))]), "source 1: the cloud holds no points"),
    (dict(clouds=[(np.full((5, 3), np.nan), np.zeros((5, 3)))]), "source 1: .* NaN"),
    (dict(clouds=[(np.zeros((5, 2)), np.zeros((5, 3)))]), r"source 1: points are \[P, 3\]"),
    (
        dict(clouds=[(np.zeros((5, 3)), np.zeros((4, 3)))]),
        r"source 1: colours are \[P, 3\] as the points, not \[4, 3\]",
    ),
    (dict(clouds=[(np.zeros((5, 3)), np.full((5, 3), -200.0))]), "source 1: colours from -200"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_wrong_input_is_told(separator, change, message):
    arguments = {"waveform": music(seconds=1.0), "rate_hz": RATE, "clouds": CLOUDS, **change}
    with pytest.raises(InputError, match=message) as caught:
        separator.separate(**arguments)
    assert "\n" not in str(caught.value)


def test_softmax_needs_company(softmax):
    with pytest.raises(InputError, match="two clouds or more"):
        softmax.separate(music(), RATE, CLOUDS[:1])


def test_a_run_brings_its_options(run):
    options = run_options(run)
    assert (options.ngf, options.audLen, options.voxel_size, options.rgbs_feature) == (4, WINDOW, 0.1, 1)
    assert options.weights_sound == str(run / "sound_best.pth")


def test_published_weights_take_the_options_of_the_script(tmp_path):
    words = (ROOT / "scripts" / "test.sh").read_text().split("main.py")[1].replace("\\\n", " ").split()[1:-1]
    of_script = build_parser().parse_args(words)
    options = run_options(tmp_path)
    for name in PUBLISHED_OPTIONS:
        assert getattr(options, name) == getattr(of_script, name), name
    model = {name: value for name, value in vars(of_script).items() if value != build_parser().get_default(name)}
    elsewhere = {"mode", "id", "list_val", "workers", "batch_size_per_gpu", "frameRate"}
    assert set(model) <= set(PUBLISHED_OPTIONS) | elsewhere


def test_a_run_that_is_none_is_told(run, tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        Separator.from_run(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"sound_best.pth: cannot be read \(no such file"):
        Separator.from_run(tmp_path)
    bare = write_run(tmp_path, config=False)
    with pytest.raises(InputError, match="sound_best.pth: weights of another architecture"):
        Separator.from_run(bare)  # the published model has seven levels
    shutil.copy(run / "config.json", bare)
    assert Separator.from_run(bare).voxels.size_m == 0.1
    (bare / "config.json").write_text("{}")
    with pytest.raises(InputError, match="config.json: does not hold a run's options"):
        Separator.from_run(bare)
