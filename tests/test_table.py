"""The paper's table, from runs that exist; compare.sh from nothing to the table."""

from __future__ import annotations

import csv
import json
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from test_main import TINY, python
from test_reports import write_evaluation

from reports.comparison import mean_interval
from reports.table import Score, as_latex, as_markdown, condition_of, read_rows, write_table
from utils.errors import InputError

CHOICES = {
    "label": {"arch_vision": "label", "rgbs_feature": 0},
    "depth": {"arch_vision": "sparseresnet18", "rgbs_feature": 0},
    "rgb-depth": {"arch_vision": "sparseresnet18", "rgbs_feature": 1},
}


def write_run(folder, condition, sdr, num_mix=2, **evaluation):
    write_evaluation(folder, sdr, drawn=0, **evaluation)
    (folder / "config.json").write_text(json.dumps({"options": {"num_mix": num_mix, **CHOICES[condition]}}))
    return folder


@pytest.fixture
def runs(tmp_path):
    """In no order."""
    conditions = {"rgb-depth": 5.0, "label": 6.0, "depth": 4.0}
    return [write_run(tmp_path / condition, condition, sdr) for condition, sdr in conditions.items()]


def test_a_row_for_every_run(runs):
    rows = read_rows(runs)
    assert [row.condition for row in rows] == ["label", "depth", "rgb-depth"] and {row.n for row in rows} == {5}
    for row in rows:
        summary = json.loads((row.run / "metrics.json").read_text())
        for name in ("sdr", "sir", "sar", "sdr_mixture"):
            assert row.scores[name].mean == pytest.approx(summary[name])
        assert row.scores["improvement"].mean == pytest.approx(summary["sdr_improvement"])
        assert row.scores["sdr"].low < row.scores["sdr"].mean < row.scores["sdr"].high


def test_means_are_of_the_same_mixtures(tmp_path):
    """A run that left a mixture unscored takes it from the others, too."""
    runs = [write_run(tmp_path / "a", "label", 6.0), write_run(tmp_path / "b", "depth", 4.0, unscored=(1, 4))]
    rows = read_rows(runs)
    assert [row.n for row in rows] == [3, 3]
    with open(runs[0] / "metrics.csv", newline="") as file:
        values = [float(row["sdr"]) for row in csv.DictReader(file)]
    assert rows[0].scores["sdr"].mean == pytest.approx(np.mean([values[n] for n in (0, 2, 3)]))
    none = write_run(tmp_path / "c", "rgb-depth", 4.0, unscored=range(5))
    with pytest.raises(InputError, match="not one mixture was scored by all of them"):
        read_rows([*runs, none])


def test_numbers_of_sources_stand_apart(runs, tmp_path):
    three = write_run(tmp_path / "three", "label", 2.0, num_mix=3, starts=[9, 8, 7, 6, 5])  # other mixtures
    rows = read_rows([three, *runs])
    assert [row.num_mix for row in rows] == [2, 2, 2, 3]
    assert as_latex(rows).count(r"\midrule") == 2
    with pytest.raises(InputError, match="evaluated on other mixtures than"):
        read_rows([*runs, write_run(tmp_path / "other", "label", 2.0, starts=[9, 8, 7, 6, 5])])


def test_what_is_no_run_is_told(tmp_path):
    write_evaluation(tmp_path / "run", 3.0, drawn=0)
    with pytest.raises(InputError, match="config.json: cannot be read"):
        read_rows([tmp_path / "run"])
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(InputError, match="config.json: does not hold a run's options"):
        read_rows([tmp_path / "run"])


def test_the_table_in_four_forms(runs, tmp_path):
    rows = read_rows(runs)
    paths = write_table(rows, tmp_path / "table")
    assert [path.name for path in paths] == [f"comparison.{ending}" for ending in ("md", "csv", "tex", "png")]
    lines = as_markdown(rows).splitlines()
    assert len({line.count("|") for line in lines}) == 1 and lines[2].startswith("| 2 | label | ")
    assert paths[0].read_text().splitlines() == lines
    with open(paths[1], newline="") as file:
        first = next(csv.DictReader(file))
    assert float(first["sdr"]) == rows[0].scores["sdr"].mean and first["condition"] == "label"
    half = (rows[0].scores["sdr"].high - rows[0].scores["sdr"].low) / 2
    assert f"${rows[0].scores['sdr'].mean:.2f} \\pm {half:.2f}$" in paths[2].read_text()
    assert paths[3].stat().st_size > 10_000


def test_nothing_rounds_to_minus_zero(runs):
    row = read_rows(runs)[0]
    nothing = replace(row, scores={name: Score(-0.001, -0.002, 0.001) for name in row.scores})
    for text in (as_markdown([nothing]), as_latex([nothing])):
        assert "0.00" in text and "-0.00" not in text


def test_intervals_of_a_mean():
    rng = np.random.default_rng(0)
    low, high = mean_interval(rng.normal(3, 2, 400))
    assert 2.6 < low < 3 < high < 3.4 and high - low == pytest.approx(2 * 1.96 * 2 / 20, rel=0.15)
    assert mean_interval(np.array([1.0])) is None and mean_interval(np.array([2.0, 2.0])) == (2.0, 2.0)


def test_conditions():
    assert [condition_of(options) for options in CHOICES.values()] == ["label", "depth", "rgb-depth"]


def test_compare_sh(data_tree):
    """Trains three tiny runs, evaluates them on one list, writes the table; again it takes them as they are."""
    assert python(data_tree, ROOT / "scripts" / "create_index_files.py").returncode == 0
    options = [
        *TINY,
        "--num_epoch",
        "1",
        "--dup_trainset",
        "1",
        "--num_val",
        "1",
        "--num_vis",
        "0",
        "--tensorboard",
        "0",
    ]
    command = [ROOT / "scripts" / "compare.sh", *options, "--mixes", "2", "--prefix", "tiny", "--output", "table"]
    result = subprocess.run(list(map(str, command)), cwd=data_tree, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    with open(data_tree / "table" / "comparison.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["condition"] for row in rows] == ["label", "depth", "rgb-depth"]
    assert all((data_tree / "ckpt" / row["run"] / "vision_best.pth").exists() for row in rows)
    again = subprocess.run(list(map(str, command)), cwd=data_tree, capture_output=True, text=True)
    assert again.returncode == 0 and again.stdout.count("finished, epoch 1 of 1") == 3, again.stderr
    for wrong, message in ((["--conditions", "smell"], "smell is none of"), (["--mixes"], "--mixes needs a value")):
        refused = subprocess.run([*map(str, command), *wrong], cwd=data_tree, capture_output=True, text=True)
        assert refused.returncode == 2 and message in refused.stderr
