#!/bin/sh
# Trains with the published options, depth alone, into ckpt/default-... Further options may follow and take precedence:
# ./scripts/train.sh --id mine --num_epoch 10
# TRAIN_WITH may hold the command that runs main.py in several processes, such as "torchrun --nproc_per_node=8", its
# words quoted as in a shell where they hold spaces.
set -eu
here=$(dirname "$(readlink -f "$0")")
python=$("$here/python.sh") || exit 2
set -- "$here/../main.py" \
    --mode train --id default --list_train data/train.csv --list_val data/val.csv \
    --num_mix 2 --binary_mask 1 --loss bce --weighted_loss 1 --log_freq 1 \
    --num_channels 16 --num_frames 1 --stride_frames 15 --frameRate 15 --rgbs_feature 0 \
    --workers 12 --batch_size_per_gpu 40 --num_epoch 200 --num_val 256 "$@"
if [ "${TRAIN_WITH:-}" ]; then eval "set -- $TRAIN_WITH \"\$@\""; else set -- "$python" "$@"; fi
exec "$@"
