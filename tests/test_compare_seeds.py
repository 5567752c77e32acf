"""Two ways of training, over several seeds."""

from __future__ import annotations

import sys

import compare_seeds
import pytest
from test_reports import write_evaluation

from utils.errors import InputError


def compare(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["compare_seeds.py", *map(str, words)])
    compare_seeds.main()


def test_a_row_for_each_seed_and_one_for_all(tmp_path, monkeypatch, capsys):
    first = [write_evaluation(tmp_path / f"plain{seed}", sdr, drawn=0) for seed, sdr in enumerate((3.0, 4.0))]
    second = [write_evaluation(tmp_path / f"other{seed}", sdr, drawn=0) for seed, sdr in enumerate((5.0, 6.0))]
    compare(monkeypatch, "--first", *first, "--second", *second)
    title, *seeds, all_of_them = capsys.readouterr().out.splitlines()
    assert "SDR" in title
    numbers = [[float(number) for number in line.split()[:3]] for line in (*seeds, all_of_them)]
    for one, other, difference in numbers:
        assert difference == pytest.approx(other - one, abs=0.011) and 0.5 < difference < 3.5
    assert numbers[2] == pytest.approx([(a + b) / 2 for a, b in zip(*numbers[:2], strict=True)], abs=0.011)
    assert seeds[0].endswith("5 mixtures  other0") and all_of_them.endswith("10 mixtures  all")
    low, high = map(float, all_of_them.split("[")[1].split("]")[0].split(","))
    assert low < numbers[2][2] < high


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (["a"], "2 runs and 1"),
        (["a", "elsewhere"], "other mixtures"),
        (["a", "silent"], "no mixture has this score in both: sdr"),
    ],
)
def test_what_cannot_be_compared_is_told(tmp_path, monkeypatch, second, message):
    write_evaluation(tmp_path / "a", 3.0, drawn=0)
    write_evaluation(tmp_path / "b", 3.0, drawn=0)
    write_evaluation(tmp_path / "elsewhere", 3.0, drawn=0, starts=range(10, 15))
    write_evaluation(tmp_path / "silent", 3.0, drawn=0, unscored=range(5))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        compare(monkeypatch, "--first", "a", "b", "--second", *second)
