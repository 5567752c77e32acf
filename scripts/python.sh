#!/bin/sh
# Prints the Python to run with: the repository's .venv where there is one, else python3 if it has PyTorch.
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
if [ -x "$root/.venv/bin/python" ]; then
    echo "$root/.venv/bin/python"
elif python3 -c 'import importlib.util as i, sys; sys.exit(i.find_spec("torch") is None)' 2>/dev/null; then
    command -v python3
else
    echo "error: no .venv here and no PyTorch in python3; run $root/scripts/setup.sh first" >&2
    exit 2
fi
