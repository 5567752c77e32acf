#!/bin/sh
# The paper's comparison: trains or resumes runs conditioned on labels, on depth and on coloured clouds, evaluates
# all on the same mixtures, and writes the table. What is trained already is taken as it is.
#   ./scripts/compare.sh                                   label, depth, rgb-depth; 2 and 3 sources
#   ./scripts/compare.sh --mixes 2 --conditions "label depth" --num_epoch 20
# Options of its own: --mixes, --conditions, --test (list to evaluate on), --output (folder of the table), --prefix (of
# the runs' names), --pretrained_depth and --pretrained_rgb (classifiers to start from), --baselines (rows of what needs
# no training: "mixture nmf ideal-binary ideal-ratio"). All others go to main.py.
set -eu
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/usage.sh
. "$here/usage.sh"
python=$("$here/python.sh") || exit 2
mixes="2 3" conditions="label depth rgb-depth" baselines="" test=data/test.csv output=ckpt/comparison-table prefix=compare
depth=models/resnet18_pretrained.pth rgb=models/resnet18_pretrained.pth
ckpt=ckpt must_be_there=
newline='
'
refuse() {
    echo "error: $1" >&2
    exit 2
}
own=
for word in "$@"; do # what is not ours stays in "$@"
    shift
    if [ -z "$own" ]; then
        case $word in
        --mixes=* | --conditions=* | --baselines=* | --test=* | --output=* | --ckpt=* | --prefix=* | --pretrained_depth=* | --pretrained_rgb=*)
            own=${word%%=*} word=${word#*=}
            ;;
        --mixes | --conditions | --baselines | --test | --output | --ckpt | --prefix | --pretrained_depth | --pretrained_rgb)
            own=$word
            continue
            ;;
        --num_mix | --num_mix=*) refuse "${word%%=*}: the numbers of sources are chosen by --mixes" ;;
        --id | --id=*) refuse "${word%%=*}: runs are named by --prefix" ;;
        --pretrained_vision | --pretrained_vision=*) refuse "${word%%=*}: use --pretrained_depth and --pretrained_rgb" ;;
        --arch_vision | --arch_vision=* | --rgbs_feature | --rgbs_feature=*)
            refuse "${word%%=*}: what the runs are conditioned on is chosen by --conditions"
            ;;
        --mode | --mode=* | --resume | --resume=* | --overwrite | --overwrite=* | --eval_list | --eval_list=*)
            refuse "${word%%=*}: chosen here; runs resume where they stopped; to start over, remove theirs from $ckpt"
            ;;
        -h | --help) exec "$0" --help ;;
        *)
            set -- "$@" "$word"
            continue
            ;;
        esac
    fi
    case $word in '' | --*) refuse "$own needs a value" ;; esac
    case $own in
    --mixes) mixes=$word ;;
    --conditions) conditions=$word ;;
    --baselines) baselines=$word ;;
    --test) test=$word ;;
    --output) output=$word ;;
    --ckpt) ckpt=$word ;;
    --prefix) prefix=$word ;;
    --pretrained_depth) depth=$word && must_be_there=$must_be_there${must_be_there:+$newline}$word ;;
    --pretrained_rgb) rgb=$word && must_be_there=$must_be_there${must_be_there:+$newline}$word ;;
    esac
    own=
done
[ -z "$own" ] || refuse "$own needs a value"

# All of this now, not after the first training.
set -f # words of lists are no patterns of files
case $mixes in *[!\ ]*) ;; *) refuse "--mixes: names no number of sources" ;; esac
case $conditions in *[!\ ]*) ;; *) refuse "--conditions: names none of label, depth, rgb-depth" ;; esac
named=' '
for mix in $mixes; do
    case $mix in [2-9] | [1-9][0-9]) ;; *) refuse "--mixes: $mix is no number of sources from 2 to 99" ;; esac
    case $named in *" $mix "*) refuse "--mixes: names $mix twice" ;; esac
    named="$named$mix "
done
for condition in $conditions; do
    case $condition in label | depth | rgb-depth) ;; *)
        refuse "--conditions: $condition is none of label, depth, rgb-depth"
        ;;
    esac
    case $named in *" $condition "*) refuse "--conditions: names $condition twice" ;; esac
    named="$named$condition "
done
for baseline in $baselines; do
    case $baseline in mixture | nmf | ideal-binary | ideal-ratio) ;; *)
        refuse "--baselines: $baseline is none of mixture, nmf, ideal-binary, ideal-ratio"
        ;;
    esac
    case $named in *" $baseline "*) refuse "--baselines: names $baseline twice" ;; esac
    named="$named$baseline "
done
set +f
case $prefix in */*) refuse "--prefix: $prefix holds a slash; it begins the runs' names" ;; esac
[ -e "$test" ] || refuse "--test: $test: no such file; scripts/create_index_files.py makes data/test.csv"
if [ -d "$test" ] || [ ! -r "$test" ]; then refuse "--test: $test: not a file that can be read"; fi
[ ! -e "$output" ] || [ -d "$output" ] || refuse "--output: $output: not a folder"
IFS_before=$IFS IFS=$newline
for file in $must_be_there; do
    [ -f "$file" ] || refuse "$file: no such classifier; scripts/pretrain_vision.py makes one"
done
IFS=$IFS_before

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
    if [ "$baselines" ]; then
        echo "== $mix sources, what needs no training =="
        # shellcheck disable=SC2086
        "$python" "$here/baselines.py" "$ckpt/$first" --output "$output/baselines-${mix}mix" --names $baselines
        for baseline in $baselines; do runs=$runs$newline$output/baselines-${mix}mix/$baseline; done
    fi
done
set -f # the runs' names stand in lines of their own, and are taken as they are
IFS=$newline
# shellcheck disable=SC2086
exec "$python" "$here/compare.py" $runs --output "$output"
