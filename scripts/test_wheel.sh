#!/bin/sh
# Builds the wheel, installs it with what it needs into an empty environment in a temporary folder, and works with it
# there, without the clone: lists, an evaluation by two processes, its page, a separation by command and from Python.
# The stems must be those of scripts/separate.py. It uses what ./scripts/demo.sh --quick made, and takes some minutes.
#   ./scripts/test_wheel.sh
set -eu
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/usage.sh
. "$here/usage.sh"
[ $# = 0 ] || {
    echo "error: unknown option $1; usage: $0" >&2
    exit 2
}
root=$(dirname "$here")
python=$("$here/python.sh") || exit 2
data=$root/data/demo-quick
# shellcheck disable=SC2012
run=$(ls -td "$root"/ckpt/demo-quick-seed0-2mix-* 2>/dev/null | head -n 1)
if [ -z "$run" ] || [ ! -f "$data/scene/names.txt" ]; then
    echo "error: no run or no ensemble of the quick demo; run ./scripts/demo.sh --quick first" >&2
    exit 2
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

echo "== 1/4 the wheel, in an empty environment =="
"$python" -m venv "$folder/my environment"
PATH="$folder/my environment/bin:$PATH"
unset PYTHONPATH
python -m pip wheel -qq --no-deps --wheel-dir "$folder" "$root"
extra=""
if "$python" -c 'import open3d' 2>/dev/null; then extra="[scene]"; fi
python -m pip install -qq "$(echo "$folder"/*.whl)$extra"
python -m pip check

# A user's own modules of our names would be imported if the package were incomplete.
mkdir -p "$folder/my work/ckpt"
cd "$folder/my work"
for name in utils models dataset runs reports arguments main; do
    echo "raise SystemExit('a module of the current folder was imported: $name')" >"$name.py"
done

echo "== 2/4 lists, an evaluation by two processes, its page =="
cp -R "$run" ckpt/demo
rm -rf ckpt/demo/report
pcss-create-index-files --root_audio "$data/audio" --root_frame "$data/frames" --path_output .
pcss-train --mode eval --id demo --list_val test.csv --audLen 16383 --batch_size_per_gpu 2 --num_val 4 --num_vis 2 \
    --workers 1 --device cpu --num_gpus 2
rm -r ckpt/demo/report
pcss-report ckpt/demo
test -s ckpt/demo/report/plotly.min.js

echo "== 3/4 a separation by command =="
names=$(cat "$data/scene/names.txt")
set -- # the first frame of a performer of each instrument of the ensemble
for name in $names; do
    # shellcheck disable=SC2012
    set -- "$@" "$(ls "$data/frames/$name"/person_*/*.ply | head -n 1)"
done
separate() { "$@" --mixture "$data/scene/mixture.wav" --run "$run" --device cpu --masks soft; }
separate pcss-separate --output installed --points "$@"
separate "$python" "$root/scripts/separate.py" --output cloned --points "$@"
if [ -n "$extra" ]; then
    # shellcheck disable=SC2086
    separate pcss-separate --scene "$data/scene/scene.ply" --names $names --output scene --report
    test -s scene/scene.json
fi

echo "== 4/4 the same from Python =="
cat >"$folder/separate.py" <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
import soundfile
from plyfile import PlyData
from separation import Separator

run, mixture, *captures = sys.argv[1:]


def read_cloud(path):
    vertex = PlyData.read(path)["vertex"]
    return tuple(np.stack([vertex[field] for field in fields], axis=1) for fields in ("xyz", ("red", "green", "blue")))


def read_wave(path):
    return soundfile.read(path, dtype="float32", always_2d=True)


wave, rate_hz = read_wave(mixture)
separator = Separator.from_run(run, device="cpu")
stems = separator.separate(wave.T, rate_hz, [read_cloud(path) for path in captures], masks="soft")
assert not np.array_equal(*stems[:2]), "both stems are the same"
for stem, capture in zip(stems, captures, strict=True):
    name = f"{Path(capture).parts[-3]}.wav"
    installed, cloned = (read_wave(Path(folder, name))[0] for folder in ("installed", "cloned"))
    difference = np.abs(stem.T - installed).max()
    print(f"{name}: Python's differs from the command's by {difference:.1e} of {np.abs(stem).max():.2f}")
    assert np.array_equal(installed, cloned), "the clone's stem is another"
    assert stem.shape == installed.T.shape and difference < 1e-6 < np.abs(stem).max()
PYTHON
python -P "$folder/separate.py" "$run" "$data/scene/mixture.wav" "$@"
echo "the wheel stands alone"
