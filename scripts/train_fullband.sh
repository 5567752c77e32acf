#!/bin/sh
# Trains at 44.1 kHz with the published options for all else: windows of 5.94 s with as many frames as at 11025 Hz, and
# 512 bins on the logarithmic frequency axis, which doubles the cost of an iteration; with the published 256 it costs
# nearly the same as at 11025 Hz, and in the demo they separated better. The longer window makes magnitudes four times as
# large, and --weight_scale takes that back in the weights of the loss. Data of other rates are resampled. Further options
# may follow and take precedence:
#   ./scripts/train_fullband.sh --id mine --log_bins 256
set -eu
exec "$(dirname "$(readlink -f "$0")")/train.sh" --id fullband \
    --audRate 44100 --stft_frame 4094 --stft_hop 1024 --audLen 262143 --log_bins 512 --weight_scale 0.25 "$@"
