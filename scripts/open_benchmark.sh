#!/bin/sh
# The paper's comparison on the open data set (docs/open-data.md): label, depth and coloured clouds, 2 and 3 sources, what
# needs no training beside them, whether the models use the clouds, and ensembles of three scored as whole files.
#   ./scripts/open_benchmark.sh                the published sizes, for a GPU
#   ./scripts/open_benchmark.sh --small        a small model, for two CPU cores
#   ./scripts/open_benchmark.sh --quick        every step, too short to learn anything
#   ./scripts/open_benchmark.sh --seed 1       another data set and other initial weights
#   ./scripts/open_benchmark.sh --mixes 2      mixtures of two sources alone
# What is there already, data and runs, is taken as it is.
set -eu
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/usage.sh
. "$here/usage.sh"
form=full mixes="2 3"
# shellcheck source=scripts/demo_common.sh
. "$here/demo_common.sh"
output=ckpt/$name-seed$seed-benchmark
prefix=$name-seed$seed-benchmark

echo "== data =="
make_data
echo "== vision nets: other people's bodies, as ModelNet40 in the paper =="
pretrain_both
# shellcheck disable=SC2086
./scripts/compare.sh --mixes "$mixes" --prefix "$prefix" --test "$data/test.csv" --output "$output" \
    --baselines "mixture nmf ideal-binary ideal-ratio" \
    --pretrained_depth "$depth" --pretrained_rgb "$classifier" $train_options

for mix in $mixes; do
    # shellcheck disable=SC2012
    run=$(ls -td "ckpt/$prefix-rgb-depth-${mix}mix-"* | head -n 1)
    echo "== do the clouds matter: coloured clouds, $mix sources =="
    ./scripts/test.sh --id "$(basename "$run")" --num_mix "$mix" --audLen "$window" --mask_thres "$mask_thres" --seed "$seed" \
        --eval_list "$run/metrics.csv" \
        --list_train "$data/train.csv" --conditioning_report 1 --num_vis 10
    [ "$mix" = 3 ] || continue
    for ensemble in "$data"/ensembles/*; do
        # shellcheck disable=SC2046
        set -- $(cat "$ensemble/names.txt")
        [ $# = 3 ] || continue
        echo "== ensemble $(basename "$ensemble"): $* =="
        $python scripts/separate.py --mixture "$ensemble/mixture.wav" --run "$run" --overwrite 1 \
            --points "$ensemble/clouds/$1.ply" "$ensemble/clouds/$2.ply" "$ensemble/clouds/$3.ply" \
            --names "$@" --output "$output/ensembles/$(basename "$ensemble")"
        $python scripts/score_stems.py --stems "$output/ensembles/$(basename "$ensemble")" \
            --truth "$ensemble/stems" --mixture "$ensemble/mixture.wav"
    done
done
echo "== the table =="
cat "$output/comparison.md"
