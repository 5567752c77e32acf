#!/bin/sh
# Sets up, makes a small data set, pretrains the vision net, trains, evaluates on unseen performers and recordings, and
# separates a recording of two of them, who are found in one capture.
#   ./scripts/demo.sh            about ten minutes on two CPU cores
#   ./scripts/demo.sh --quick    every step in less than two minutes, too short to learn anything
#   ./scripts/demo.sh --seed 1   another data set and other initial weights
set -eu
here=$(cd "$(dirname "$0")" && pwd)
name=demo seed=0
recordings=60 seconds=12 frames=12 bodies=160
pretrain_epochs=8 epochs=11 repeats=2 drop=8
while [ $# -gt 0 ]; do
    case $1 in
    --quick)
        name=demo-quick
        recordings=12 seconds=4 frames=2 bodies=10
        pretrain_epochs=1 epochs=1 repeats=1 drop=1
        ;;
    --seed)
        shift
        seed=${1:-}
        case $seed in '' | *[!0-9]*)
            echo "error: --seed takes a whole number of 0 or more" >&2
            exit 2
            ;;
        esac
        ;;
    *)
        echo "error: unknown option $1; usage: $0 [--quick] [--seed N]" >&2
        exit 2
        ;;
    esac
    shift
done

"$here/setup.sh"
cd "$here/.."
python=.venv/bin/python
data=data/$name
classifier=ckpt/$name-seed$seed-classifier.pth
cloud_options="--voxel_size 0.05 --rgbs_feature 1 --augment 0.2 --workers 0 --seed $seed"

echo "== 1/6 data: five instruments, $recordings recordings and 13 performers each =="
$python scripts/make_demo_data.py --output "$data" --seed "$seed" --overwrite 1 \
    --recordings $recordings --seconds $seconds --frames $frames --bodies $bodies
$python scripts/create_index_files.py --seed "$seed" \
    --root_audio "$data/audio" --root_frame "$data/frames" --path_output "$data"

echo "== 2/6 vision net: instruments of other performers, as ModelNet40 in the paper =="
$python scripts/pretrain_vision.py --data "$data/bodies" --output "$classifier" --overwrite 1 \
    --optimizer adam --lr 1e-3 --num_epoch $pretrain_epochs --eval_epoch 4 $cloud_options

echo "== 3/6 training =="
$python main.py --id "$name-seed$seed" --overwrite 1 --list_train "$data/train.csv" --list_val "$data/val.csv" \
    --pretrained_vision "$classifier" --optimizer adam --lr_sound 1e-3 --lr_synthesizer 1e-3 --lr_vision 1e-5 \
    --vision_activation tanh --arch_sound unet6 --ngf 16 --num_channels 16 --audLen 16383 --weighted_loss 1 \
    --batch_size_per_gpu 16 --dup_trainset $repeats --num_epoch $epochs --lr_steps $drop --eval_epoch 6 \
    --num_vis 0 $cloud_options
run=$(basename "$(ls -td ckpt/"$name-seed$seed"-2mix-* | head -n 1)")

echo "== 4/6 evaluation on unseen performers and unseen recordings =="
$python main.py --mode eval --id "$run" --list_val "$data/test.csv" \
    --audLen 16383 --batch_size_per_gpu 8 --num_vis 10 --workers 0 --seed "$seed"

echo "== 5/6 two of them together: one recording, one capture =="
scene=$data/scene
$python scripts/make_demo_scene.py --data "$data" --output "$scene" --num_sources 2 --seed "$seed"
if $python -c 'import open3d' 2>/dev/null; then
    # shellcheck disable=SC2046
    $python scripts/separate.py --mixture "$scene/mixture.wav" --scene "$scene/scene.ply" --run "ckpt/$run" \
        --names $(cat "$scene/names.txt") --output "$scene/out" --residual --report --overwrite 1
    $python scripts/score_stems.py --stems "$scene/out" --truth "$scene/stems" --mixture "$scene/mixture.wav"
else
    echo "note: scenes need open3d, which set-up could not install: nothing is separated here"
fi

echo "== 6/6 what came out =="
$python scripts/plot_separation.py "ckpt/$run" --output "ckpt/$run/separation.png"
echo "scores of every mixture: ckpt/$run/metrics.csv"
echo "the stems of the two, and their page: $scene/out/"
echo "to see and hear the evaluation: ckpt/$run/report/index.html"
