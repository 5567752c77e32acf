#!/bin/sh
# Makes the open data set (docs/open-data.md), pretrains the vision net on other people's bodies, trains a model on clouds
# with colours and evaluates it on fonts, pieces and players that training never had.
#   ./scripts/train_open.sh            the published sizes, for a GPU
#   ./scripts/train_open.sh --small    a small model, for two CPU cores
#   ./scripts/train_open.sh --quick    every step, too short to learn anything
#   ./scripts/train_open.sh --seed 1   another data set and other initial weights
set -eu
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/usage.sh
. "$here/usage.sh"
form=full
# shellcheck source=scripts/demo_common.sh
. "$here/demo_common.sh"

make_data
[ -f "$classifier" ] || pretrain "$classifier" 1
train "$name-seed$seed" --resume 1
exec ./scripts/test.sh --id "$(basename "$(run_of "$name-seed$seed")")" --list_val "$data/test.csv" --audLen "$window" \
    --mask_thres "$mask_thres" --seed "$seed" \
    --list_train "$data/train.csv" --conditioning_report 1
