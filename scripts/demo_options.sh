#!/bin/sh
# Which optional settings help: the demo's training with each of them in turn, evaluated on the same unseen mixtures, and
# three ways to use the masks of the plain one. What is there already is taken as it is. At the end each is compared with
# the published way over all seeds that were trained so far.
#   ./scripts/demo_options.sh            seven trainings of the demo's size
#   ./scripts/demo_options.sh --seed 1   another data set and other initial weights
#   ./scripts/demo_options.sh --quick    every step, too short to learn anything
set -eu
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/usage.sh
. "$here/usage.sh"
# shellcheck source=scripts/demo_common.sh
. "$here/demo_common.sh"

make_data
[ -f "$classifier" ] || pretrain "$classifier" 1

# evaluate RUN [OPTIONS]: on unseen performers and recordings, the mixtures of the plain run
evaluate() {
    evaluated=$1
    shift
    $python main.py --mode eval --id "$evaluated" --audLen $window --batch_size_per_gpu 8 --num_vis 0 --workers 0 \
        --seed "$seed" "$@"
}

# with WAY [OPTIONS]: trains with options, evaluates
with() {
    id=$name-seed$seed-$1
    shift
    echo "== $id: $* =="
    train "$id" --resume 1 "$@"
    evaluate "$(basename "$(run_of "$id")")" --eval_list "$plain/metrics.csv"
}

# masked RULE: evaluates a copy of the plain run with other masks
masked() {
    copy=ckpt/$name-seed$seed-$1
    echo "== $copy =="
    rm -rf "$copy"
    cp -r "$plain" "$copy"
    evaluate "$(basename "$copy")" --eval_list "$plain/metrics.csv" --masks "$1"
}

echo "== the published way =="
train "$name-seed$seed-plain" --resume 1
plain=$(run_of "$name-seed$seed-plain")
evaluate "$(basename "$plain")" --list_val "$data/test.csv"
with ema --ema 0.98
with adamw --optimizer adamw --weight_decay 1e-2
with cosine --lr_steps --schedule cosine
with warmup --lr_steps --schedule cosine --warmup 30
with clip --clip_grad 1
with wave --wave_loss 0.05
masked soft
masked shared

for way in ema adamw cosine warmup clip wave soft shared; do
    first='' second=''
    for run in ckpt/"$name"-seed*-plain-2mix-*; do
        other=${run%%-plain-*}-$way
        [ -d "$other" ] || other=$(run_of "$(basename "$other")" 2>/dev/null)
        [ -f "$other/metrics.csv" ] || continue
        first="$first $run" second="$second $other"
    done
    echo "== $way =="
    # shellcheck disable=SC2086
    $python scripts/compare_seeds.py --first $first --second $second
done
