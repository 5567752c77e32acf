"""Stems against the true ones."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import score_stems
import soundfile

from utils.errors import InputError, run_command

RATE = 22050


@pytest.fixture
def score(tmp_path, monkeypatch, capsys):
    """Writes sources and stems, runs the command -> exit code, what it printed, what it complained of."""

    def run(sources, stems):
        for folder, waves in (("truth", sources), ("stems", stems)):
            (tmp_path / folder).mkdir(exist_ok=True)
            for name, wave in waves.items():
                soundfile.write(tmp_path / folder / f"{name}.wav", wave, RATE, subtype="FLOAT")
        soundfile.write(tmp_path / "mix.wav", sum(sources.values()), RATE, subtype="FLOAT")
        words = ["--stems", tmp_path / "stems", "--truth", tmp_path / "truth", "--mixture", tmp_path / "mix.wav"]
        monkeypatch.setattr(sys, "argv", ["score_stems.py", *map(str, words)])
        with pytest.raises(SystemExit) as leaving:
            run_command(score_stems.main)
        return leaving.value.code or 0, *capsys.readouterr()

    return run


def noise(seed, length=2 * RATE):
    return 0.1 * np.random.default_rng(seed).standard_normal((length, 2))


def test_a_line_for_each_source(score):
    sources = {"cello": noise(0), "violin": noise(1)}
    code, printed, _ = score(sources, {name: wave + 0.1 * noise(9) for name, wave in sources.items()})
    lines = printed.splitlines()
    assert code == 0 and [line.split()[0] for line in lines[1:]] == ["cello", "violin", "mean"]
    mixture, sdr, *_ = map(float, lines[3].split()[1:])
    assert mixture == pytest.approx(0, abs=0.5) and sdr == pytest.approx(20, abs=0.5)


def test_silence_has_no_score(score):
    code, printed, _ = score({"a": noise(0), "b": noise(1)}, {"a": noise(0), "b": 0 * noise(1)})
    assert code == 0 and "a stem or a source is silent: there is no score" in printed


@pytest.mark.parametrize(
    ("sources", "stems", "message"),
    [
        ({"a": noise(0), "b": noise(1)}, {"a": noise(0)}, "b.wav: cannot be read as audio"),
        ({"a": noise(0), "b": noise(1)}, {"a": noise(0, 999), "b": noise(1, 999)}, "stems of another length"),
        ({"a": noise(0), "b": noise(1)}, {"a": noise(0, 999), "b": noise(1)}, "files of different lengths"),
    ],
)
def test_what_does_not_fit_is_one_line(score, sources, stems, message):
    code, _, complaint = score(sources, stems)
    assert code == 2 and message in complaint and complaint.count("\n") == 1


@pytest.mark.parametrize("option", ["--stems", "--truth"])
def test_files_in_the_place_of_folders(tmp_path, monkeypatch, option):
    (tmp_path / "a.wav").write_bytes(b"x")
    words = {"--stems": tmp_path, "--truth": tmp_path, "--mixture": tmp_path / "a.wav"} | {option: tmp_path / "a.wav"}
    monkeypatch.setattr(sys, "argv", ["score_stems.py", *(str(word) for pair in words.items() for word in pair)])
    with pytest.raises(InputError, match="a.wav: a file, not a folder"):
        score_stems.main()
