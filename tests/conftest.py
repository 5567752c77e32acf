"""What all tests share: import paths, the devices of this machine, a small data set on disk, tiny runs on it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from plyfile import PlyData, PlyElement

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT, ROOT / "scripts", ROOT / "tests"):
    sys.path.insert(0, str(folder))

from browsing import NO_BROWSER, NO_SELENIUM  # noqa: E402
from screenshot import set_size, start_browser  # noqa: E402
from tiny_runs import TINY, SmallVision, run_of  # noqa: E402

import main  # noqa: E402
import models  # noqa: E402
from dataset.index import IndexRow, write_index  # noqa: E402
from dataset.music import MUSICMixDataset  # noqa: E402
from dataset.settings import FrameSettings, VoxelSettings  # noqa: E402
from from_options import window_of  # noqa: E402
from models import SOUND_ISA  # noqa: E402
from runs import state as run_state  # noqa: E402
from utils.precision import computing  # noqa: E402

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton
os.environ["ONEDNN_MAX_CPU_ISA"] = SOUND_ISA  # as --amp does, which in this process comes too late

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])


@pytest.fixture(autouse=True)
def exact():
    """Tests compare numbers in full single precision, also on GPUs that could round to TF32."""
    with computing("eval"):
        yield


@pytest.fixture(params=DEVICES)
def device(request) -> torch.device:
    return torch.device(request.param)


@pytest.fixture(params=["of a CPU", "of a GPU"])
def way(request, monkeypatch):
    """How layers work on either kind of device, here always on the CPU."""
    if request.param == "of a GPU":
        monkeypatch.setattr("models.sparse.launches.LAUNCH_BOUND", ("cpu", "cuda"))


def write_cloud(path: Path, xyz: np.ndarray, rgb: np.ndarray | None = None, **ply_options) -> None:
    """Writes points `[P, 3]` and colours `[P, 3]` of 0..255 as a PLY file."""
    fields = [(axis, "<f4") for axis in "xyz"]
    if rgb is not None:
        fields += [(name, "u1") for name in ("red", "green", "blue")]
    vertices = np.zeros(len(xyz), dtype=fields)
    for n, axis in enumerate("xyz"):
        vertices[axis] = xyz[:, n]
    if rgb is not None:
        for n, name in enumerate(("red", "green", "blue")):
            vertices[name] = rgb[:, n]
    path.parent.mkdir(parents=True, exist_ok=True)
    PlyData([PlyElement.describe(vertices, "vertex")], **ply_options).write(path)


@pytest.fixture(scope="session")
def data_tree(tmp_path_factory) -> Path:
    """A data set of the published layout: three instruments, mp3 recordings of 3 s, small clouds."""
    root = tmp_path_factory.mktemp("tree")
    rng = np.random.default_rng(0)
    seconds, rate = 3, 11025
    t = np.arange(seconds * rate) / rate
    for number, instrument in enumerate(("cello", "sax", "violin")):
        for k in range(12):
            pitch = 110 * 2 ** (number + rng.uniform(0, 1))
            wave = 0.3 * np.sin(2 * np.pi * pitch * t) + 0.01 * rng.standard_normal(len(t))
            path = root / "data" / "audio" / instrument / f"r{k:02d}.mp3"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, wave, rate, format="MP3", subtype="MPEG_LAYER_III")
        for k in range(1, 14):
            for frame in range(4):
                xyz = rng.uniform(-0.3, 0.3, (300, 3)) * (1, 1 + number, 1)
                rgb = rng.integers(0, 256, (300, 3))
                write_cloud(root / "data" / "frames" / instrument / f"person_{k}" / f"{frame:05d}.ply", xyz, rgb)
    return root


@pytest.fixture(scope="session")
def rows(data_tree) -> list[IndexRow]:
    """Four rows of each of three instruments."""
    found = []
    for instrument in ("cello", "sax", "violin"):
        for k in range(4):
            audio = data_tree / "data" / "audio" / instrument / f"r{k:02d}.mp3"
            frames = data_tree / "data" / "frames" / instrument / f"person_{k + 1}"
            found.append(IndexRow(str(audio), str(frames), 4, f"train.csv:{len(found) + 1}"))
    return found


@pytest.fixture
def tree(rows, tmp_path, monkeypatch) -> Path:
    """The folder that commands run in, with those rows as `list.csv`; one thread each, as torchrun has it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_index(tmp_path / "list.csv", rows)
    return tmp_path


def training_mixtures(rows, options) -> MUSICMixDataset:
    """Twelve mixtures of the rows, as `options` of the command line have them."""
    return MUSICMixDataset(
        rows,
        training=True,
        num_samples=12,
        seed=0,
        num_mix=2,
        window=window_of(options),
        frames=FrameSettings(options.num_frames, stride=1),
        voxels=VoxelSettings(options.voxel_size, colours=False),
        instruments=options.instruments,
    )


@pytest.fixture(scope="session")
def good_rows(data_tree) -> list[IndexRow]:
    """A row of a violin that is as it should be."""
    audio, frames = data_tree / "data" / "audio" / "violin", data_tree / "data" / "frames" / "violin"
    return [IndexRow(str(audio / "r00.mp3"), str(frames / "person_1"), 4, "list.csv:2")]


@pytest.fixture
def new_row(tmp_path, good_rows) -> IndexRow:
    """A row of a cello in the test's own folder: three frames and no recording yet."""
    (tmp_path / "cello").mkdir()
    rng = np.random.default_rng(0)
    for frame in (0, 2):
        xyz, rgb = rng.uniform(-0.5, 0.5, (40, 3)), rng.integers(0, 256, (40, 3))
        write_cloud(tmp_path / "person_1" / f"{frame:05d}.ply", xyz, rgb)
    return IndexRow(good_rows[0].audio_path, str(tmp_path / "person_1"), 3, "list.csv:1")


@pytest.fixture
def tiny_options(rows, tmp_path, monkeypatch):
    """The options of a run on small data below `tmp_path`, which becomes the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(models.VISION_NETS, "sparseresnet18", SmallVision)
    monkeypatch.setattr(run_state, "plot_history", lambda run, history: None)
    monkeypatch.setattr(main, "write_run_page", lambda run: None)
    write_index(tmp_path / "list.csv", rows)
    return [*TINY, "--list_train", "list.csv", "--list_val", "list.csv"]


@pytest.fixture
def train(tiny_options, monkeypatch):
    """Runs `main.main` with further options -> its exit code."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["main.py", *tiny_options, *map(str, arguments)])
        return main.main()

    return run


@pytest.fixture
def whole_run(train, tmp_path):
    """A run that nothing interrupted."""
    train("--ckpt", "reference")
    return run_of(tmp_path / "reference")


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; tests skip where there is none."""
    pytest.importorskip("selenium.webdriver", reason=NO_SELENIUM)
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip(NO_BROWSER)
    driver = start_browser()
    yield driver
    driver.quit()


@pytest.fixture(params=[390, 1280])
def sized(browser, request):
    """The browser at the width of a phone and of a desk."""
    set_size(browser, request.param, 900)
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
