#!/bin/sh
# Builds MinkowskiEngine 0.5.4 from its PyPI source into .venv: for the CPU, or with CUDA 11 where PyTorch's build and
# nvcc have it; CUDA 12 and later cannot compile it. It is optional: the built-in engine gives the same numbers.
# About ten minutes on two cores.
set -eu
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/usage.sh
. "$here/usage.sh"
[ $# -eq 0 ] || {
    echo "error: unknown option $1; usage: $0" >&2
    exit 2
}
cd "$here/.."
version=0.5.4
./scripts/setup.sh
python=$PWD/.venv/bin/python

if "$python" -c 'from models.backend import import_minkowski as m; assert m()' 2>/dev/null; then
    echo "MinkowskiEngine is already installed"
    exec "$python" -m models.backend
fi

# What a build needs from the system: a C++ compiler, Python's headers, OpenBLAS with headers.
headers=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
missing=
command -v "${CXX:-g++}" >/dev/null || missing="$missing g++"
[ -f "$headers/Python.h" ] || missing="$missing python3-dev"
printf '#include <cblas.h>\nint main() { return 0; }\n' |
    "${CXX:-g++}" -x c++ - -lopenblas -o /dev/null 2>/dev/null || missing="$missing libopenblas-dev"
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing
    else
        echo "error: missing system packages; install them and run $0 again: sudo apt-get install$missing" >&2
        exit 2
    fi
fi

# Its setup.py needs an older setuptools than PyTorch: that one lives in a folder of its own, for the build alone.
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$build/tools" \
    'setuptools==69.5.1' 'wheel==0.45.1' 'ninja==1.13.0'
export PYTHONPATH="$build/tools" PATH="$PWD/.venv/bin:$build/tools/bin:$PATH"
echo "fetching the source of MinkowskiEngine $version"
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    --no-binary MinkowskiEngine "MinkowskiEngine==$version" --dest "$build"
tar -xzf "$build/MinkowskiEngine-$version.tar.gz" -C "$build"
build_for() { # --cpu_only | --force_cuda
    echo "building it ($1), about ten minutes on two cores; the log is $PWD/.venv/minkowski-build.log"
    (
        cd "$build/MinkowskiEngine-$version" && rm -rf build dist &&
            MAX_JOBS=${MAX_JOBS:-$(nproc)} "$python" setup.py bdist_wheel --blas=openblas "$1"
    ) >.venv/minkowski-build.log 2>&1
}
target=--cpu_only
if "$python" -c 'import sys, torch; sys.exit(torch.version.cuda is None)' && command -v nvcc >/dev/null; then
    cuda=$(nvcc --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
    if [ "${cuda:-12}" -lt 12 ]; then
        target=--force_cuda
    else
        echo "CUDA $cuda cannot compile MinkowskiEngine $version: it is built for the CPU, to compare with; on the GPU the"
        echo "built-in engine runs"
    fi
fi
if ! build_for "$target"; then
    if [ "$target" = --cpu_only ] || { echo "it does not build with CUDA here" && ! build_for --cpu_only; }; then
        tail -n 30 .venv/minkowski-build.log >&2
        echo "error: MinkowskiEngine did not build; the whole log is .venv/minkowski-build.log" >&2
        exit 2
    fi
fi
unset PYTHONPATH
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall \
    "$build/MinkowskiEngine-$version"/dist/*.whl
# What it needs itself; the rest of .venv, where the open data set's tools lack what they do without, is not asked about.
if "$python" -m pip check | grep -i '^minkowskiengine'; then
    echo "error: MinkowskiEngine is installed, but lacks what the lines above name" >&2
    exit 2
fi
exec "$python" -m models.backend
