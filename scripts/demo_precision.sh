#!/bin/sh
# The demo's training in float32, taken from the demo if it has run, and with --amp bf16, and both learning curves.
#   ./scripts/demo_precision.sh            about ten minutes on two CPU cores, half of it if the demo has run
#   ./scripts/demo_precision.sh --quick    one epoch
#   ./scripts/demo_precision.sh --seed 1   another data set and other initial weights
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/demo_common.sh"

[ -f "$data/train.csv" ] || make_data
[ -f "$classifier" ] || pretrain "$classifier" 1
train "$name-seed$seed" --resume 1
train "$name-seed$seed-bf16" --resume 1 --amp bf16
exec $python scripts/compare_curves.py "$(run_of "$name-seed$seed")" "$(run_of "$name-seed$seed-bf16")"
