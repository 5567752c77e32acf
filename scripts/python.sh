#!/bin/sh
# Prints the Python to run with: the repository's .venv where there is one, else the one on the PATH.
root=$(cd "$(dirname "$0")/.." && pwd)
if [ -x "$root/.venv/bin/python" ]; then
    echo "$root/.venv/bin/python"
else
    command -v python3
fi
