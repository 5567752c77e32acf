#!/bin/sh
# Sets up and runs the tests; further options go to pytest: ./scripts/run_tests.sh -k sparse
set -eu
here=$(dirname "$0")
"$here/setup.sh" --dev
cd "$here/.."
exec .venv/bin/python -m pytest "$@"
