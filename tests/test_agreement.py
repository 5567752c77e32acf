"""prepare_audio, check_data and training say the same of every file: it is read, or why not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from bad_files import RECORDINGS, WORKS
from conftest import write_cloud
from media_files import RATE, sound, write_media
from test_containers import WHOLE
from test_decoders import BY_BYTES, MADE, TAGS
from tools import TONE, make, without_first_frame, write_tone

from dataset.check_recordings import check_recording
from dataset.extract import write_mono
from dataset.index import IndexRow
from dataset.music import MUSICMixDataset
from dataset.settings import FrameSettings, VoxelSettings, Window
from utils.errors import InputError

AUD_LEN = 8191


def made(command: str):
    """Writes a file by the tools of its name's case; skips where one is missing."""

    def write(path):
        write_tone(path.with_name(TONE))
        make(path.parent, command)

    return write


def tagged(before: bytes, behind: bytes, told: bool):
    def write(path):
        soundfile.write(path, sound(44100), 44100, format="MP3")
        content = path.read_bytes()
        path.write_bytes(before + (content if told else without_first_frame(content)) + behind)

    return write


def damaged(start: float, stop: float):
    """An mp3 with noise in a part of it."""

    def write(path):
        soundfile.write(path, sound(44100), 44100, format="MP3")
        content = bytearray(path.read_bytes())
        part = slice(int(start * len(content)), int(stop * len(content)))
        content[part] = np.random.default_rng(0).bytes(part.stop - part.start)
        path.write_bytes(content)

    return write


def shortened(share: float):
    def write(path):
        write_media(path)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    return write


FILES = [(name, made(command)) for name, command, _ in MADE]
FILES += [(name, made(command)) for name, command in WHOLE]
FILES += [(f"{name}.wav", lambda path, content=content: path.write_bytes(content)) for name, content in BY_BYTES]
for tag, before, behind in TAGS:
    FILES += [(f"{tag} {told}.mp3", tagged(before, behind, told)) for told in (True, False)]
for begin, end in ((0, 0.01), (0.3, 0.31), (0.4, 0.6), (0.99, 1)):
    FILES.append((f"damaged {begin}.mp3", damaged(begin, end)))
for ending in ("mp4", "mkv", "ts"):
    FILES += [(f"{share} of.{ending}", shortened(share)) for share in (0.3, 0.7, 0.999)]
LEFT_OUT = ("missing.wav", "folder.wav", "1_hz.wav")  # the last one is of nine hours
FILES += [(name, write) for name, write, _ in RECORDINGS if name not in LEFT_OUT]


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> list[IndexRow]:
    """A violin that is as it should be."""
    root = tmp_path_factory.mktemp("others")
    (root / "violin").mkdir()
    soundfile.write(root / "violin" / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(3 * RATE), RATE)
    write_cloud(root / "person_1" / "00000.ply", np.random.default_rng(0).uniform(-1, 1, (50, 3)))
    row = IndexRow(str(root / "violin" / "a.wav"), str(root / "person_1"), 1)
    return [row]


def trained_on(path, others) -> bool:
    """Whether every one of many samples of training can be made."""
    rows = [replace(others[0], audio_path=str(path)), *others]
    seen = {"frames": FrameSettings(1, 1), "voxels": VoxelSettings(0.1, colours=False)}
    samples = MUSICMixDataset(
        rows, training=True, num_samples=2, seed=0, num_mix=2, window=Window(AUD_LEN, RATE), **seen
    )
    return not any(isinstance(samples[epoch, 0], InputError) for epoch in range(40))


@pytest.mark.parametrize(("name", "write"), FILES, ids=[case[0] for case in FILES])
def test_all_three_agree(tmp_path, others, name, write):
    path = tmp_path / "cello" / name
    path.parent.mkdir()
    write(path)
    try:
        write_mono(str(path), tmp_path / "out.flac", RATE)
        prepared = True
    except InputError:
        prepared = False
    checked = not any(finding.is_error for finding in check_recording(str(path), RATE, AUD_LEN).findings)
    assert prepared == checked == trained_on(path, others)
    expected = {case[0]: case[2] == WORKS for case in RECORDINGS}
    assert prepared == expected.get(name, prepared)
