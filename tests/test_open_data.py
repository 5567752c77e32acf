"""A tiny open data set from beginning to end, and what must hold of it; skipped where its packages are missing."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ROOT

from dataset.index import read_index
from dataset.points import read_cloud
from utils.errors import InputError

sys.path.insert(0, str(ROOT / "scripts"))
MISSING = [name for name in ("tinysoundfont", "music21", "anny", "open3d") if importlib.util.find_spec(name) is None]
needs_packages = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)}: run ./scripts/setup.sh --open")
CACHE = ROOT / "data" / "open-parts"  # fonts, music and bodies, as the scripts share them
TINY = [
    *("--instruments", "violin", "guitar", "--recordings", "3", "--performers", "3", "--seconds", "5", "--frames", "2"),
    *("--bodies", "1", "--ensembles", "1", "--cache", CACHE),
]
# Of the set that TINY makes, with the packages' versions in requirements-open.txt: the same on every machine.
MANIFEST_SHA256 = "e1f609ee8dc8eb66e9f18ace3d0fdc8e54a3e72a02beabe28c11bebfdc6028b7"


def make(output, *options, **environment):
    command = [sys.executable, ROOT / "scripts" / "make_open_data.py", "--output", output, *options]
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env={**os.environ, **environment}, cwd=ROOT
    )


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    if MISSING:
        pytest.skip(f"{', '.join(MISSING)}: run ./scripts/setup.sh --open")
    output = tmp_path_factory.mktemp("open") / "set"
    done = make(output, *TINY, "--workers", 2)
    if "cannot be fetched" in done.stderr or "no apt-get" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture(scope="module")
def manifest(tiny):
    return json.loads((tiny / "manifest.json").read_text())


def test_every_file_is_in_the_manifest(tiny, manifest):
    found = {str(path.relative_to(tiny)) for path in tiny.rglob("*") if path.is_file()}
    assert found - set(manifest["files"]) == {"manifest.json", "train.csv", "val.csv", "test.csv"}
    assert all(digest(tiny / path) == sha256 for path, sha256 in manifest["files"].items())
    assert len([path for path in manifest["files"] if path.endswith(".flac")]) == 6
    assert {font["licence"] != "" for font in manifest["fonts"].values()} == {True}
    assert manifest["encodings"] == {"corelli/opus3no1/1grave": "CC-BY, (c) 2014 Michael Scott Cuthbert"}


def test_a_second_machine_makes_the_same(tiny, manifest, tmp_path):
    """Other processors have other instructions: here the C library, NumPy and PyTorch are kept from the newest."""
    older = {
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA,-FMA4",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3" if sys.platform == "linux" else "",
        "ATEN_CPU_CAPABILITY": "default",
        "OPENBLAS_CORETYPE": "Prescott",
    }
    cache = tmp_path / "parts"
    (cache / "fonts").parent.mkdir()
    if (CACHE / "fonts").is_dir():
        (cache / "fonts").symlink_to(CACHE / "fonts")
    (music,) = CACHE.glob(f"music-version{manifest['recipe']['version']}")
    shutil.copytree(music, cache / music.name)  # whole numbers of a score; bodies are made again
    done = make(tmp_path / "set", *TINY[:-2], "--cache", cache, "--workers", 1, **older)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "set" / "manifest.json").read_bytes() == (tiny / "manifest.json").read_bytes()


def test_the_manifest_is_the_published_one(tiny, manifest):
    assert digest(tiny / "manifest.json") == MANIFEST_SHA256


def test_splits_share_no_font_no_piece_and_no_body(tiny, manifest):
    for instrument in ("violin", "guitar"):
        used = [{voice[0] for voice in manifest["voices"][split][instrument]} for split in ("train", "val", "test")]
        assert not used[0] & used[1] and not used[0] & used[2] and not used[1] & used[2]
    works = [set(manifest["works"][split]) for split in ("train", "val", "test")]
    composers = [{work.split("/")[0] for work in part} for part in works]
    assert all(works) and not composers[0] & composers[1] | composers[0] & composers[2] | composers[1] & composers[2]
    rows = {split: read_index(tiny / f"{split}.csv") for split in ("train", "val", "test")}
    assert {split: len(part) for split, part in rows.items()} == {"train": 2, "val": 2, "test": 2}
    everywhere = [{row.frames_path for row in part} for part in rows.values()]
    assert len(set.union(*everywhere)) == sum(map(len, everywhere)) == 6
    truth = json.loads((tiny / "ensembles" / "00" / "scene.json").read_text())
    assert truth["work"] in works[2] and {source["body"][-2:] for source in truth["sources"]} == {"02"}


@needs_packages
def test_every_voice_of_a_split_is_of_its_own_fonts():
    """For each instrument; MuseScore's contrabass is Fluid's, which trains."""
    from open_data.fonts import VOICES

    for instrument in VOICES["train"]:
        fonts = [{voice.font for voice in VOICES[split][instrument]} for split in VOICES]
        assert len(set.union(*fonts)) == sum(map(len, fonts))
    musescore = {
        (v.bank, v.preset) for part in VOICES.values() for vs in part.values() for v in vs if v.font == "musescore"
    }
    assert musescore == {(0, 42), (50, 49), (50, 45)}


def test_recordings_are_as_loud_as_each_other(tiny):
    for path in sorted((tiny / "audio").rglob("*.flac")):
        wave, rate_hz = soundfile.read(path)
        assert (rate_hz, wave.shape) == (11025, (5 * 11025,))
        level = 20 * np.log10(np.sqrt((wave**2).mean()))
        assert -24 < level < -17 and np.abs(wave).max() < 0.96, path


def test_stems_add_up_to_the_mixture(tiny):
    folder = tiny / "ensembles" / "00"
    mixture, rate_hz = soundfile.read(folder / "mixture.wav")
    stems = [soundfile.read(path)[0] for path in sorted((folder / "stems").glob("*.wav"))]
    assert rate_hz == 44_100 and mixture.shape == (5 * 44_100, 2) and len(stems) == 2
    assert np.abs(sum(stems) - mixture).max() < 1e-4 and min(np.abs(stem).max() for stem in stems) > 0.01
    names = (folder / "names.txt").read_text().split()
    left = [read_cloud(folder / "clouds" / f"{name}.ply")[0][:, 0].mean() for name in names]
    assert left == sorted(left)


def test_bodies_stand_on_the_floor_and_are_grown_up(tiny):
    for path in sorted((tiny / "frames").rglob("*.ply")):
        xyz, rgb = read_cloud(path)
        assert 12_000 < len(xyz) <= 30_000 and rgb.std() > 0.05
        low, high = np.percentile(xyz[:, 1], [0.5, 99.7])
        assert -0.05 < low < 0.15 and 1.2 < high < 2.0, path
        assert np.abs(xyz * 1000 - np.rint(xyz * 1000)).max() < 1e-3  # a grid of a millimetre


def test_bodies_move_from_frame_to_frame(tiny):
    first, second = (read_cloud(tiny / "frames" / "violin" / "person_1" / f"0000{n}.ply")[0] for n in (0, 1))
    assert len(first) != len(second) or np.abs(first - second).max() > 0.02


def test_made_again_after_a_stop(tiny, tmp_path):
    """What is there is kept; what is missing is made as it was."""
    shutil.copytree(tiny, tmp_path / "set")
    manifest = (tmp_path / "set" / "manifest.json").read_bytes()
    (tmp_path / "set" / "manifest.json").unlink()
    recipe = json.loads(manifest)["recipe"]
    (tmp_path / "set" / "open_data.unfinished.json").write_text(json.dumps({"recipe": recipe}))
    lost = tmp_path / "set" / "audio" / "violin" / "violin_0001.flac"
    lost.unlink()
    kept = (tmp_path / "set" / "audio" / "violin" / "violin_0000.flac").stat().st_mtime_ns
    done = make(tmp_path / "set", *TINY, "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert lost.is_file() and (tmp_path / "set" / "manifest.json").read_bytes() == manifest
    assert (tmp_path / "set" / "audio" / "violin" / "violin_0000.flac").stat().st_mtime_ns == kept
    again = make(tmp_path / "set", *TINY)
    assert again.returncode == 0 and "nothing to do" in again.stdout
    lost.unlink()  # from a set that is whole by its manifest
    assert make(tmp_path / "set", *TINY, "--workers", 1).returncode == 0
    assert lost.is_file() and (tmp_path / "set" / "manifest.json").read_bytes() == manifest


def test_another_set_is_not_overwritten_unasked(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "set")
    other = [*TINY, "--seed", 1]
    refused = make(tmp_path / "set", *other)
    assert refused.returncode == 2 and "add --overwrite 1" in refused.stderr and refused.stderr.count("\n") == 1
    assert digest(tmp_path / "set" / "manifest.json") == digest(tiny / "manifest.json")


def test_a_stop_while_an_older_set_is_removed(tmp_path, monkeypatch):
    """What is left is known as this script's, so that the same command can be given again."""
    import make_open_data

    old = json.loads(stamp(tmp_path / "manifest.json").read_text())["recipe"]
    (tmp_path / "audio").mkdir()

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(make_open_data, "remove_files", stopped)
    with pytest.raises(KeyboardInterrupt):
        make_open_data._remove(tmp_path, old)
    assert make_open_data._recipe_of(tmp_path / make_open_data.UNFINISHED) == old
    assert not (tmp_path / "manifest.json").exists()


@needs_packages
def test_an_output_that_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    done = make(tmp_path / "file", *TINY)
    assert done.returncode == 2 and "file: not a folder" in done.stderr and "fetching" not in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recordings", "2"], "whole number of 3 or more"),
        (["--instruments", "kazoo"], "invalid choice"),
        (["--audRate", "1000"], "8000 or more"),
        (["--soundfont", "nowhere"], "holds no"),
    ],
)
@needs_packages
def test_bad_options_end_in_one_line(options, message, tmp_path):
    done = make(tmp_path / "set", "--instruments", "violin", *options)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "set").exists()


@needs_packages
def test_others_data_is_left_alone(tmp_path):
    (tmp_path / "set" / "audio").mkdir(parents=True)
    done = make(tmp_path / "set", *TINY)
    assert done.returncode == 2 and "did not make" in done.stderr and done.stderr.count("\n") == 1
    (tmp_path / "set" / "manifest.json").write_text('{"recipe": {"version": 1}}')
    done = make(tmp_path / "set", *TINY)
    assert done.returncode == 2 and "not what this script writes" in done.stderr and done.stderr.count("\n") == 1


def stamp(path, **changes):
    import make_open_data
    from open_data import plan

    recipe = plan.Recipe(0, ("violin",), 3, 5.0, 3, 2, 1, 1, 11_025)
    path.write_text(json.dumps({"recipe": {"version": make_open_data.VERSION, **plan.as_dict(recipe), **changes}}))
    return path


def test_a_stamp_has_whole_numbers(tmp_path):
    """Only a recording's length may be a fraction."""
    import make_open_data

    names = ("version", "seed", "recordings", "performers", "frames", "bodies", "ensembles", "audRate")
    for name in names:
        with pytest.raises(InputError, match="not what this script writes"):
            make_open_data._recipe_of(stamp(tmp_path / "manifest.json", **{name: 1.5}))
    found = make_open_data._recipe_of(stamp(tmp_path / "manifest.json", seconds=1.5, seed=999_999_999))
    assert (found["seconds"], found["seed"]) == (1.5, 999_999_999)


def test_seeds_are_those_of_the_scripts():
    """demo_common.sh accepts whole numbers up to 999999999."""
    import make_open_data

    assert make_open_data.parse_arguments(["--output", "x", "--seed", "999999999"]).seed == 999_999_999
    with pytest.raises(InputError, match="at most 999999999"):
        make_open_data.parse_arguments(["--output", "x", "--seed", "1000000000"])


def test_missing_packages_are_told_in_one_line(monkeypatch):
    import make_open_data

    monkeypatch.setattr(make_open_data, "PACKAGES", {"no-such-package-here": "MIT"})
    with pytest.raises(InputError, match=r"no-such-package-here: not installed; run ./scripts/setup.sh --open"):
        make_open_data.package_versions()


def test_a_font_of_another_version_is_refused(tmp_path):
    from open_data.fonts import FONTS, find_fonts

    (tmp_path / Path(FONTS["timgm"].installed).name).write_bytes(b"RIFF")
    with pytest.raises(InputError, match=r"not the TimGM6mb.sf2 of timgm6mb-soundfont 1.3-5"):
        find_fonts({"timgm"}, tmp_path, tmp_path)
