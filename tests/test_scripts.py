"""The shell scripts: in folders with spaces, through links, with paths that hold spaces; and what shellcheck says."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT
from tools import needs

# In the place of Python: notes its words, a line each, and makes the folder of a run that is trained.
PYTHON = """#!/bin/sh
for word in "$@"; do printf '%s\\n' "$word"; done >>"{log}"
echo >>"{log}"
while [ $# -gt 0 ]; do
    case $1 in --ckpt) ckpt=$2 ;; --id) id=$2 ;; --num_mix) mix=$2 ;; --mode) mode=$2 ;; esac
    shift
done
[ "${{mode:-}}" != train ] || mkdir -p "${{ckpt:-ckpt}}/$id-${{mix}}mix-trained"
"""


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A copy of the scripts in a folder with a space and a quote in its name, where Python is a stand-in."""
    root = tmp_path / "my repo, Ann's"
    shutil.copytree(ROOT / "scripts", root / "scripts", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON.format(log=tmp_path / "words"))
    python.chmod(0o755)
    (tmp_path / "my data").mkdir()
    (tmp_path / "my data" / "test.csv").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRAIN_WITH", raising=False)
    return root


def run(*command, **env) -> subprocess.CompletedProcess:
    return subprocess.run(list(map(str, command)), env={**os.environ, **env}, capture_output=True, text=True)


def words() -> list[list[str]]:
    """The words of each call of Python."""
    text = Path("words").read_text() if Path("words").exists() else ""
    return [call.split("\n") for call in text.split("\n\n") if call]


def value(call: list[str], option: str) -> str:
    """The last value of an option, which wins."""
    return call[len(call) - call[::-1].index(option)]


@pytest.mark.parametrize("name", ["train.sh", "train_label.sh", "test.sh"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_space_in_the_path_of_the_repository(repository, tmp_path, name, linked):
    script = repository / "scripts" / name
    if linked:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "a link").symlink_to(script)
        script = tmp_path / "bin" / "a link"
    done = run(script, "--list_val", "my data/test.csv", "--id", "a b")
    assert done.returncode == 0, done.stderr
    (call,) = words()
    assert Path(call[0]).resolve() == repository / "main.py"
    assert value(call, "--list_val") == "my data/test.csv" and value(call, "--id") == "a b"
    assert ("--arch_vision" in call) == (name == "train_label.sh")


def test_train_with_another_command(repository, tmp_path):
    launcher = tmp_path / "my launcher"
    launcher.write_text(f'#!/bin/sh\nshift\nexec "{repository}/.venv/bin/python" launched "$@"\n')
    launcher.chmod(0o755)
    done = run(repository / "scripts/train.sh", "--id", "a b", TRAIN_WITH=f"'{launcher}' --nproc_per_node=2")
    assert done.returncode == 0, done.stderr
    (call,) = words()
    assert call[0] == "launched" and call[1].endswith("main.py") and value(call, "--id") == "a b"


def test_slurm_train_in_such_a_folder(repository, tmp_path):
    (tmp_path / "bin").mkdir()
    commands = {"srun": 'shift 2; exec "$@"', "scontrol": "echo localhost", "scancel": ":"}
    for name, text in commands.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    env = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "here", "SLURM_SUBMIT_DIR": str(repository)}
    env["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = run("bash", repository / "scripts/slurm_train.sh", "--id", "a b", **env)
    assert done.returncode == 0, done.stderr
    (call,) = words()
    assert (
        call[:2] == ["-m", "torch.distributed.run"] and value(call, "--id") == "a b" and value(call, "--resume") == "1"
    )


def test_compare_sh_with_spaces(repository):
    Path("my rgb.pth").touch()
    options = ["--mixes", "2 3", "--test", "my data/test.csv", "--output", "the table", "--ckpt", "my runs"]
    options += ["--pretrained_rgb", "my rgb.pth", "--list_train", "my data/train.csv", "--prefix", "my"]
    done = run(repository / "scripts/compare.sh", *options)
    assert done.returncode == 0, done.stderr
    calls = words()
    trained = [call for call in calls if "train" in call]
    evaluated = [call for call in calls if "eval" in call]
    assert len(trained) == len(evaluated) == 6 and len(calls) == 13
    assert all(value(call, "--list_train") == "my data/train.csv" for call in trained + evaluated)
    assert value(trained[2], "--pretrained_vision") == "my rgb.pth" and value(trained[0], "--ckpt") == "my runs"
    assert value(evaluated[0], "--list_val") == "my data/test.csv"
    assert value(evaluated[1], "--eval_list") == "my runs/my-label-2mix-trained/metrics.csv"
    table = calls[-1]
    assert table[1:7] == [
        f"my runs/my-{name}-{mix}mix-trained" for mix in (2, 3) for name in ("label", "depth", "rgb-depth")
    ]
    assert table[7:] == ["--output", "the table"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--test", "nowhere.csv"], "error: --test: nowhere.csv: no such file"),
        (["--conditions", "label smell"], "error: --conditions: smell is none of label, depth, rgb-depth"),
    ],
)
def test_what_would_fail_after_the_training_fails_before(repository, options, message):
    done = run(repository / "scripts/compare.sh", "--test", "my data/test.csv", *options)
    assert done.returncode == 2 and done.stderr.startswith(message) and done.stderr.count("\n") == 1
    assert words() == []


EXPLAINED = [
    "demo.sh",
    "demo_compare.sh",
    "demo_fullband.sh",
    "demo_masks.sh",
    "demo_precision.sh",
    "compare.sh",
    "train_open.sh",
    "open_benchmark.sh",
    "run_tests.sh",
    "setup.sh",
    "install_minkowski.sh",
    "test_wheel.sh",
]


@pytest.mark.parametrize("name", EXPLAINED)
def test_scripts_explain_themselves(repository, name):
    """What stands at their head, and nothing else happens."""
    for option in ("--help", "-h"):
        result = subprocess.run(
            [str(repository / "scripts" / name), option], capture_output=True, text=True, timeout=20
        )
        assert (result.returncode, result.stderr) == (0, "")
        head = (repository / "scripts" / name).read_text().split("set -eu")[0].splitlines()[1:]
        assert result.stdout.splitlines() == [line.removeprefix("#").removeprefix(" ") for line in head]


def test_shellcheck():
    needs("shellcheck")
    scripts = [*sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci" / "run"]
    done = subprocess.run(["shellcheck", "-x", *scripts], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


WRONG = {  # a script and words that are no good -> what it says
    ("compare.sh", "--mixes"): "--mixes needs a value",
    ("compare.sh", "--mixes="): "--mixes needs a value",
    ("compare.sh", "--mixes", "--conditions", "label"): "--mixes needs a value",
    ("compare.sh", "--mixes", "2 x"): "--mixes: x is no number of sources",
    ("compare.sh", "--mixes=1"): "--mixes: 1 is no number of sources",
    ("compare.sh", "--mixes", "2 3 2"): "--mixes: names 2 twice",
    ("compare.sh", "--mixes", "  "): "--mixes: names no number of sources",
    ("compare.sh", "--mixes", "*"): "--mixes: * is no number of sources",
    ("compare.sh", "--conditions", "*"): "--conditions: * is none of label, depth, rgb-depth",
    ("compare.sh", "--conditions", "label label"): "--conditions: names label twice",
    ("compare.sh", "--output", ""): "--output needs a value",
    ("compare.sh", "--output", "my data/test.csv"): "--output: my data/test.csv: not a folder",
    ("compare.sh", "--test", "nothing"): "--test: nothing: no such file",
    ("compare.sh", "--test", "my data"): "--test: my data: not a file",
    ("compare.sh", "--prefix", "a/b"): "--prefix: a/b holds a slash",
    ("compare.sh", "--pretrained_rgb", "my nets/a.pth"): "my nets/a.pth: no such classifier",
    ("compare.sh", "--id", "x"): "--id: runs are named by --prefix",
    ("compare.sh", "--num_mix=3"): "--num_mix: the numbers of sources are chosen by --mixes",
    ("compare.sh", "--arch_vision", "label"): "--arch_vision: what the runs are conditioned on",
    ("compare.sh", "--pretrained_vision", "x"): "--pretrained_vision: use --pretrained_depth",
    ("compare.sh", "--overwrite", "1"): "--overwrite: chosen here",
    ("demo.sh", "--seed"): "--seed takes a whole number",
    ("demo.sh", "--seed", "-1"): "--seed takes a whole number",
    ("demo.sh", "--seed", "9999999999"): "--seed takes a whole number from 0 to 999999999",
    ("demo.sh", "--mixes", "2"): "unknown option --mixes",
    ("demo.sh", "--fast"): "unknown option --fast",
    ("demo.sh", "--small"): "unknown option --small",
    ("demo.sh", "--data"): "--data takes demo or open",
    ("demo_compare.sh", "--data", "music"): "--data takes demo or open",
    ("train_open.sh", "--data", "open"): "unknown option --data",
    ("train_open.sh", "--mixes", "2"): "unknown option --mixes",
    ("open_benchmark.sh", "--mixes", "1"): "--mixes takes numbers of sources from 2 to 4",
    ("open_benchmark.sh", "small"): "unknown option small",
    ("compare.sh", "--baselines", "luck"): "--baselines: luck is none of mixture, nmf, ideal-binary, ideal-ratio",
    ("compare.sh", "--baselines", "nmf nmf"): "--baselines: names nmf twice",
    ("demo_compare.sh", "--mixes", " "): "--mixes takes numbers of sources from 2 to 4",
    ("demo_compare.sh", "--mixes", "22"): "--mixes takes numbers of sources from 2 to 4",
    ("demo_compare.sh", "--mixes", "3 2 3"): "--mixes takes numbers of sources from 2 to 4",
    ("demo_precision.sh", "x"): "unknown option x",
    ("demo_masks.sh", "--seeds", "0"): "unknown option --seeds",
    ("demo_fullband.sh", "--rate", "0"): "unknown option --rate",
    ("setup.sh", "--devel"): "unknown option --devel",
    ("setup.sh", "--dev", "more"): "unknown option more",
    ("setup.sh", "--open", "--dev"): "unknown option --dev",
    ("install_minkowski.sh", "--cuda"): "unknown option --cuda",
    ("test_wheel.sh", "--quick"): "unknown option --quick",
    ("test_wheel.sh",): "no run or no ensemble of the quick demo",
    ("slurm_train.sh", "--id", "x"): "start this with sbatch",
}


@pytest.mark.parametrize("command", WRONG, ids=" ".join)
def test_wrong_words_are_told_in_one_line_before_anything_runs(repository, command):
    name, *options = command
    test = ["--test", "my data/test.csv"] if name == "compare.sh" and "--test" not in options else []
    result = run(repository / "scripts" / name, *test, *options)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert WRONG[command] in result.stderr and not words()


def test_options_with_an_equals_sign(repository):
    arguments = ("--mixes=2", "--conditions=label depth", "--test=my data/test.csv", "--prefix=my", "--ckpt=my runs")
    result = run(repository / "scripts" / "compare.sh", *arguments, "--output=my table")
    assert result.returncode == 0, result.stderr
    *_, table = words()
    assert value(table, "--output") == "my table" and "my runs/my-depth-2mix-trained" in table


def test_help_of_what_slurm_runs():
    result = run(ROOT / "scripts" / "slurm_train.sh", "--help")
    assert result.returncode == 0 and "sbatch --nodes=1" in result.stdout and result.stderr == ""
