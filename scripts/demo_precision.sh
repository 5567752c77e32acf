#!/bin/sh
# The demo's training with --amp bf16 beside float32's, which is taken from the demo if it has run, and beside float32 with
# another memory layout, which changes only the rounding: their learning curves.
#   ./scripts/demo_precision.sh            at most twenty minutes on two CPU cores
#   ./scripts/demo_precision.sh --quick    one epoch
#   ./scripts/demo_precision.sh --seed 1   another data set and other initial weights
set -eu
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/usage.sh
. "$here/usage.sh"
# shellcheck source=scripts/demo_common.sh
. "$here/demo_common.sh"
id=$name-seed$seed

make_data
[ -f "$classifier" ] || pretrain "$classifier" 1
train "$id" --resume 1
train "$id-bf16" --resume 1 --amp bf16
train "$id-layout" --resume 1 --channels_last no
exec $python scripts/compare_curves.py "$(run_of "$id")" "$(run_of "$id-bf16")" "$(run_of "$id-layout")"
