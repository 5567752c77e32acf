#!/bin/sh
# The paper's comparison: trains or goes on with runs conditioned on labels, on depth and on coloured clouds, evaluates
# all on the same mixtures, and writes the table. What is trained already is taken as it is.
#   ./scripts/compare.sh                                   label, depth, rgb-depth; 2 and 3 sources
#   ./scripts/compare.sh --mixes 2 --conditions "label depth" --num_epoch 20
# Options of its own: --mixes, --conditions, --test (list to evaluate on), --output (folder of the table), --prefix (of
# the runs' names), --pretrained_depth and --pretrained_rgb (classifiers to start from). All others go to main.py.
set -eu
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/usage.sh
. "$here/usage.sh"
python=$("$here/python.sh") || exit 2
mixes="2 3" conditions="label depth rgb-depth" test=data/test.csv output=ckpt/comparison-table prefix=compare
depth=models/resnet18_pretrained.pth rgb=models/resnet18_pretrained.pth
ckpt=ckpt
own=
for word in "$@"; do # what is not ours stays in "$@"
    shift
    case ${own:-$word} in
    --mixes) [ "$own" ] && mixes=$word ;;
    --conditions) [ "$own" ] && conditions=$word ;;
    --test) [ "$own" ] && test=$word ;;
    --output) [ "$own" ] && output=$word ;;
    --ckpt) [ "$own" ] && ckpt=$word ;;
    --prefix) [ "$own" ] && prefix=$word ;;
    --pretrained_depth) [ "$own" ] && depth=$word ;;
    --pretrained_rgb) [ "$own" ] && rgb=$word ;;
    *)
        set -- "$@" "$word"
        continue
        ;;
    esac
    if [ "$own" ]; then own=; else own=$word; fi
done
[ -z "$own" ] || {
    echo "error: $own needs a value" >&2
    exit 2
}

# All of this now, not after the first training.
for condition in $conditions; do
    case $condition in label | depth | rgb-depth) continue ;; esac
    echo "error: --conditions: $condition is none of label, depth, rgb-depth" >&2
    exit 2
done
[ -f "$test" ] || {
    echo "error: --test: $test: no such file; scripts/create_index_files.py makes data/test.csv" >&2
    exit 2
}

# train_on CONDITION ID [OPTIONS]
train_on() {
    condition=$1 id=$2
    shift 2
    case $condition in
    label) set -- "$@" --arch_vision label ;;
    depth) set -- "$@" --rgbs_feature 0 --pretrained_vision "$depth" ;;
    rgb-depth) set -- "$@" --rgbs_feature 1 --pretrained_vision "$rgb" ;;
    esac
    "$here/train.sh" "$@" --ckpt "$ckpt" --id "$id" --resume 1
}

newline='
'
runs=
for mix in $mixes; do
    first=
    for condition in $conditions; do
        id=$prefix-$condition
        echo "== $mix sources, conditioned on $condition =="
        train_on "$condition" "$id" --num_mix "$mix" "$@"
        # shellcheck disable=SC2012
        run=$(basename "$(ls -td "$ckpt/$id-${mix}mix-"* | head -n 1)")
        if [ "$first" ]; then
            mixtures="--eval_list" path=$ckpt/$first/metrics.csv
        else
            mixtures="--list_val" path=$test
        fi
        "$here/test.sh" --num_mix "$mix" "$@" --ckpt "$ckpt" --id "$run" --num_val -1 "$mixtures" "$path"
        first=${first:-$run}
        runs=$runs${runs:+$newline}$ckpt/$run
    done
done
set -f # the runs' names stand in lines of their own, and are taken as they are
IFS=$newline
# shellcheck disable=SC2086
exec "$python" "$here/compare.py" $runs --output "$output"
