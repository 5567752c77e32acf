#!/bin/sh
# Trains the paper's reference case, the instrument's label in the place of its player's cloud, with the published
# options for all else; further options may follow and win: ./scripts/train_label.sh --num_mix 3
set -eu
exec "$(dirname "$(readlink -f "$0")")/train.sh" --id label --arch_vision label "$@"
