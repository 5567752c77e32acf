#!/bin/sh
# Sets up and runs the tests, a file on every core at a time; further options go to pytest:
#   ./scripts/run_tests.sh -k sparse
set -eu
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/usage.sh
. "$here/usage.sh"
"$here/setup.sh" --dev
cd "$here/.."
# One thread each: two processes with two threads each on two cores wait for one another most of the time.
OMP_NUM_THREADS=1 exec .venv/bin/python -m pytest --numprocesses auto --dist loadfile "$@"
