#!/bin/sh
# Evaluates ckpt/rgb-depth_2_mix, the published run with coloured clouds, on data/test.csv. Further options may follow
# and take precedence; the beginning of a run's name is enough: ./scripts/test.sh --id default evaluates what
# ./scripts/train.sh trained.
set -eu
here=$(dirname "$(readlink -f "$0")")
python=$("$here/python.sh") || exit 2
exec "$python" "$here/../main.py" \
    --mode eval --id rgb-depth_2_mix --list_val data/test.csv \
    --num_mix 2 --binary_mask 1 --loss bce --weighted_loss 1 --log_freq 1 \
    --num_channels 16 --num_frames 1 --stride_frames 15 --frameRate 15 --rgbs_feature 1 \
    --workers 0 --batch_size_per_gpu 1 "$@"
