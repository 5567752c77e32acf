#!/bin/sh
# Makes .venv and installs what requirements.txt names (with --dev also what the tests need), then open3d for scenes
# if it can be had: it is large, and not there for every platform. Does nothing where that is already done. PYTHON
# names another interpreter.
set -eu
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/usage.sh
. "$here/usage.sh"
cd "$here/.."
requirements=requirements.txt
case $#${1:-} in
0) ;;
1--dev) requirements="requirements-dev.txt" ;;
*)
    echo "error: unknown option ${2:-$1}; usage: $0 [--dev]" >&2
    exit 2
    ;;
esac
stamp=.venv/$requirements.installed
wanted=$(cat requirements.txt $requirements requirements-scene.txt | cksum)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
    echo "error: $python is missing or older than 3.11; install Python 3.11, or name one: PYTHON=python3.12 $0" >&2
    exit 2
}
if [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    "$python" -m venv .venv || {
        echo "error: cannot make .venv; on Debian or Ubuntu: sudo apt-get install python3-venv" >&2
        exit 2
    }
fi
echo "installing $requirements into .venv, once: a few minutes, most of them for PyTorch"
.venv/bin/python -m pip install --disable-pip-version-check -r $requirements || {
    echo "error: pip could not install $requirements; see above, mend it, and run $0 again" >&2
    exit 2
}

# What follows is optional: a note, and on.
libraries="libusb-1.0-0 libgl1 libgomp1"
absent="scenes (separate.py --scene) are not available, everything else is"
imports_open3d() { .venv/bin/python -c 'import open3d' >/dev/null 2>&1; }
echo "installing requirements-scene.txt (open3d, 400 MB)"
if ! .venv/bin/python -m pip install --disable-pip-version-check -r requirements-scene.txt; then
    again=".venv/bin/python -m pip install -r requirements-scene.txt"
    echo "note: pip could not install open3d: $absent; to try again: $again" >&2
elif ! imports_open3d; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing system libraries that open3d needs: $libraries"
        # shellcheck disable=SC2015,SC2086
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $libraries >/dev/null || true
    fi
    imports_open3d ||
        echo "note: open3d cannot be imported: $absent; to mend it: sudo apt-get install $libraries" >&2
fi

echo "$wanted" >"$stamp"
# What the tests need includes what running needs.
[ "$requirements" = requirements.txt ] ||
    cat requirements.txt requirements.txt requirements-scene.txt | cksum >.venv/requirements.txt.installed
