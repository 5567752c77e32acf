#!/bin/sh
# Full band beside the published rate: the demo's data at 44.1 kHz, a model that hears all of it and one that hears it at
# 11025 Hz, and their scores on the same mixtures, over the full band and below 5.5 kHz.
#   ./scripts/demo_fullband.sh            three trainings of the demo's size
#   ./scripts/demo_fullband.sh --quick    every step, too short to learn anything
#   ./scripts/demo_fullband.sh --seed 1   another data set and other initial weights
set -eu
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/usage.sh
. "$here/usage.sh"
rate=44100
# shellcheck source=scripts/demo_common.sh
. "$here/demo_common.sh"
id=$name-seed$seed

# evaluate ID [OPTIONS]: on unseen performers and recordings
evaluate() {
    run=$(basename "$(run_of "$1")")
    $python main.py --mode eval --id "$run" --list_val "$data/test.csv" --audLen "$2" --batch_size_per_gpu 8 \
        --num_vis 0 --workers 0 --seed "$seed"
}

make_data
[ -f "$classifier" ] || pretrain "$classifier" 1
echo "== the published rate =="
train "$id-published" --resume 1
evaluate "$id-published" "$window"
echo "== full band, as many frames and bins of the logarithmic axis =="
full="--audRate $rate --stft_frame 4094 --stft_hop 1024 --audLen 65535 --weight_scale 0.25"
# shellcheck disable=SC2086
train "$id-full256" --resume 1 $full
evaluate "$id-full256" 65535
echo "== full band, twice as many bins =="
# shellcheck disable=SC2086
train "$id-full512" --resume 1 $full --log_bins 512
evaluate "$id-full512" 65535
exec $python scripts/compare_bands.py "$(run_of "$id-full512")" "$(run_of "$id-full256")" "$(run_of "$id-published")"
