#!/bin/sh
# Which masks separate best: the demo's model is trained, and evaluated on unseen mixtures with binary masks, as
# published, with soft ones, and with shares of the sources and a residual. What is there already is taken as it is. At the
# end each is compared with binary masks over all seeds that were trained so far.
#   ./scripts/demo_masks.sh            one training of the demo's size
#   ./scripts/demo_masks.sh --seed 1   another data set and other initial weights
#   ./scripts/demo_masks.sh --quick    every step, too short to learn anything
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

# masked RULE: evaluates a copy of the plain run with other masks
masked() {
    copy=ckpt/$name-seed$seed-$1
    echo "== $copy =="
    rm -rf "$copy"
    cp -r "$plain" "$copy"
    evaluate "$(basename "$copy")" --eval_list "$plain/metrics.csv" --masks "$1"
}

echo "== binary masks =="
train "$name-seed$seed-plain" --resume 1
plain=$(run_of "$name-seed$seed-plain")
evaluate "$(basename "$plain")" --list_val "$data/test.csv"
masked soft
masked shared

for rule in soft shared; do
    first='' second=''
    for run in ckpt/"$name"-seed*-plain-2mix-*; do
        other=${run%%-plain-*}-$rule
        [ -f "$other/metrics.csv" ] || continue
        first="$first $run" second="$second $other"
    done
    echo "== $rule =="
    # shellcheck disable=SC2086
    $python scripts/compare_seeds.py --first $first --second $second
done
