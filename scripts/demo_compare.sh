#!/bin/sh
# The paper's comparison on the demo's data: runs conditioned on labels, on depth and on coloured clouds, and their table.
#   ./scripts/demo_compare.sh            at most half an hour on two CPU cores
#   ./scripts/demo_compare.sh --quick    every step, too short to learn anything
#   ./scripts/demo_compare.sh --seed 1   another data set and other initial weights
#   ./scripts/demo_compare.sh --data open    on the open data set (docs/open-data.md)
#   ./scripts/demo_compare.sh --mixes "2 3"    mixtures of three sources as well, which takes twice as long
set -eu
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/usage.sh
. "$here/usage.sh"
mixes=2
# shellcheck source=scripts/demo_common.sh
. "$here/demo_common.sh"

make_data
pretrain_both
# shellcheck disable=SC2086
exec ./scripts/compare.sh --mixes "$mixes" --prefix "$name-seed$seed-compare" --test "$data/test.csv" \
    --pretrained_depth "$depth" --pretrained_rgb "$classifier" --output "ckpt/$name-seed$seed-comparison" $train_options
