#!/bin/sh
# Sets up, makes a small data set, pretrains the vision net, trains, evaluates on unseen performers and recordings, and
# separates a recording of two of them, who are found in one capture.
#   ./scripts/demo.sh            about ten minutes on two CPU cores
#   ./scripts/demo.sh --quick    every step in less than two minutes, too short to learn anything
#   ./scripts/demo.sh --seed 1   another data set and other initial weights
#   ./scripts/demo.sh --data open    recorded notes, composed music and human bodies (docs/open-data.md)
set -eu
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/usage.sh
. "$here/usage.sh"
# shellcheck source=scripts/demo_common.sh
. "$here/demo_common.sh"

echo "== 1/6 data: five instruments, $recordings recordings and 13 performers each =="
make_data

echo "== 2/6 vision net: instruments of other performers, as ModelNet40 in the paper =="
pretrain "$classifier" 1

echo "== 3/6 training =="
train "$name-seed$seed" --overwrite 1
run=$(basename "$(run_of "$name-seed$seed")")

echo "== 4/6 evaluation on unseen performers and unseen recordings =="
$python main.py --mode eval --id "$run" --list_val "$data/test.csv" \
    --audLen 16383 --batch_size_per_gpu 8 --num_vis 10 --workers 0 --seed "$seed" \
    --list_train "$data/train.csv" --conditioning_report 1

echo "== 5/6 two of them together: one recording, one capture =="
scene=$data/scene
$python scripts/make_demo_scene.py --data "$data" --output "$scene" --num_sources 2 --seed "$seed"
if $python -c 'import open3d' 2>/dev/null; then
    # shellcheck disable=SC2046
    $python scripts/separate.py --mixture "$scene/mixture.wav" --scene "$scene/scene.ply" --run "ckpt/$run" \
        --names $(cat "$scene/names.txt") --output "$scene/out" --residual --report --overwrite 1
    $python scripts/score_stems.py --stems "$scene/out" --truth "$scene/stems" --mixture "$scene/mixture.wav" \
        --audRate 11025 # that of the model
    if $python -c 'import slab' 2>/dev/null; then
        $python scripts/score_scene.py "$scene/out" --truth "$scene/stems" --mixture "$scene/mixture.wav"
    fi
else
    echo "note: scenes need open3d, which set-up could not install: nothing is separated here"
fi

echo "== 6/6 what came out =="
$python scripts/plot_separation.py "ckpt/$run" --output "ckpt/$run/separation.png"
echo "scores of every mixture: ckpt/$run/metrics.csv"
echo "the stems of the two, and their page: $scene/out/"
[ ! -f "$scene/out/report/scene.html" ] || echo "to walk among the two and hear them: $scene/out/report/scene.html"
echo "to see and hear the evaluation: ckpt/$run/report/index.html"
