#!/bin/sh
# Makes .venv and installs what requirements.txt names (with --dev also what the tests need), then open3d for scenes
# if it can be had: it is large, and not there for every platform. Does nothing where that is already done. PYTHON
# names another interpreter. With --open it installs what the open data set needs as well (docs/open-data.md).
set -eu
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/usage.sh
. "$here/usage.sh"
cd "$here/.."
requirements=requirements.txt
case $#${1:-} in
0) ;;
1--dev) requirements="requirements-dev.txt" ;;
1--open)
    "$here/setup.sh" || exit 2
    stamp=.venv/requirements-open.txt.installed
    wanted=$(cat requirements-open.txt requirements-open-alone.txt | cksum)
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0
    pip=".venv/bin/python -m pip install --disable-pip-version-check"
    echo "installing requirements-open.txt into .venv, once: a few minutes"
    if ! $pip -r requirements-open.txt || ! $pip --no-deps -r requirements-open-alone.txt; then
        echo "error: pip could not install requirements-open.txt; see above, fix it, and run $0 --open again" >&2
        exit 2
    fi
    .venv/bin/python -c 'import open3d' >/dev/null 2>&1 || {
        echo "error: open3d cannot be imported, which the open data set needs; see INSTALL.md" >&2
        exit 2
    }
    echo "$wanted" >"$stamp"
    exit 0
    ;;
*)
    echo "error: unknown option ${2:-$1}; usage: $0 [--dev | --open]" >&2
    exit 2
    ;;
esac
stamp=.venv/$requirements.installed
wanted=$(cat requirements*.txt | cksum)
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
    echo "error: pip could not install $requirements; see above, fix it, and run $0 again" >&2
    exit 2
}

# What follows is optional: where it fails, a note, and the set-up continues.
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
        echo "note: open3d cannot be imported: $absent; to fix it: sudo apt-get install $libraries" >&2
fi

echo "$wanted" >"$stamp"
# What the tests need includes what running needs.
echo "$wanted" >.venv/requirements.txt.installed
