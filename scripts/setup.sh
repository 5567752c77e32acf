#!/bin/sh
# Makes .venv and installs what requirements.txt names (with --dev also what the tests need). Does nothing where
# that is already done. PYTHON names another interpreter.
set -eu
cd "$(dirname "$0")/.."
requirements=requirements.txt
[ "${1:-}" = "--dev" ] && requirements=requirements-dev.txt
stamp=.venv/$requirements.installed
wanted=$(cat requirements.txt $requirements | cksum)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "error: $python is missing or older than 3.11; install Python 3.11, or name one: PYTHON=python3.12 $0" >&2
    exit 2
}
if [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    "$python" -m venv .venv || {
        echo "error: cannot make .venv; on Debian or Ubuntu: sudo apt-get install python3-venv" >&2
        exit 2
    }
fi
echo "installing $requirements into .venv (once; a few minutes)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $requirements || {
    echo "error: pip could not install $requirements; see above, mend it, and run $0 again" >&2
    exit 2
}
echo "$wanted" >"$stamp"
# What the tests need includes what running needs.
[ "$requirements" = requirements.txt ] || cat requirements.txt requirements.txt | cksum >.venv/requirements.txt.installed
