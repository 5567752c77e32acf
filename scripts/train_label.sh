#!/bin/sh
# Trains the paper's reference case, the instrument's label instead of its player's cloud, with the published
# options for all else; further options may follow and take precedence: ./scripts/train_label.sh --num_mix 3
set -eu
exec "$(dirname "$(readlink -f "$0")")/train.sh" --id label --arch_vision label "$@"
