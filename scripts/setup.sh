#!/bin/sh
# Makes the two environments: .venv for the project, .venv-triton for Triton (numpy < 2).
# Does nothing when both are there and their locks are unchanged. Only this script downloads anything.
#
#   PYTHON            interpreter to use (3.11 or 3.12); found by itself if unset
#   VITRINE_TORCH     pip arguments for torch, for a mirror or a build of your own; for example
#                     VITRINE_TORCH="torch==2.13.0" on a machine with a GPU takes the index's CUDA build
set -eu
cd "$(dirname "$0")/.."
torch_version=2.13.0
torch_cpu_index=https://download.pytorch.org/whl/cpu

say() { printf '%s\n' "$*" >&2; }

find_python() {
    for candidate in ${PYTHON:-python3 python3.11 python3.12}; do
        if "$candidate" -c 'import sys; raise SystemExit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null
        then
            command -v "$candidate"
            return
        fi
    done
}

# Prints the Debian packages that are missing, if any.
missing_packages() {
    if [ -z "$python" ]; then
        echo python3 python3-venv libpython3-dev # the last brings the shared library of whatever python3 is
        return
    fi
    "$python" - <<'PY'
import ctypes, importlib.util, os, sys, sysconfig
name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
    print(f"{name}-venv")
# Triton's Python stub is linked against the interpreter's shared library and dies without it.
library = f"lib{name}.so.1.0"
if not os.path.exists(os.path.join(sysconfig.get_config_var("LIBDIR") or "", library)):
    try:
        ctypes.CDLL(library)
    except OSError:
        print(f"lib{name}")
PY
}

check_machine() {
    python=$(find_python)
    missing=$(missing_packages | tr '\n' ' ')
    if [ -n "${missing% }" ]; then
        say "Vitrine needs Python 3.11 or 3.12 with venv and its shared library. This installs what is missing:"
        say "    sudo apt-get install -y $missing"
        exit 1
    fi
}

# is_current STAMP FILES: the stamp says that it was made by this interpreter from these very files.
is_current() {
    stamp=$1
    shift
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint "$@")" ]
}

fingerprint() {
    { "$python" -VV; cat "$@"; echo "${VITRINE_TORCH:-}"; } | cksum
}

make_environment() {
    say "making $1 (once; some minutes where packages must be downloaded)"
    rm -rf "$1"
    "$python" -m venv "$1"
}

install() {
    environment=$1
    shift
    # Twice quiet: errors only. A mirror that lacks a package is no concern while another has it.
    "$environment/bin/python" -m pip install -qq --disable-pip-version-check "$@"
}

# A plain `pip install torch` takes gigabytes of CUDA libraries. Without a GPU the CPU build is taken:
# from pip's configured places if they have it, else from PyTorch's own index.
install_torch() {
    if [ -n "${VITRINE_TORCH:-}" ]; then
        # shellcheck disable=SC2086 # it holds several arguments
        install .venv --no-deps $VITRINE_TORCH
    elif command -v nvidia-smi >/dev/null 2>&1; then
        install .venv "torch==$torch_version"
    elif ! install .venv --no-deps "torch==$torch_version+cpu" 2>/dev/null; then
        install .venv --no-deps --index-url "$torch_cpu_index" "torch==$torch_version+cpu" || {
            say "No CPU build of torch $torch_version was found. Say where to take it, for example:"
            say "    VITRINE_TORCH='torch==$torch_version+cpu --index-url https://your.mirror/whl/cpu' make setup"
            exit 1
        }
    fi
}

check_machine
project_files="scripts/setup.sh locks/project.txt locks/whole-wheels-project.txt"
triton_files="scripts/setup.sh locks/triton.txt locks/whole-wheels-triton.txt"
# shellcheck disable=SC2086 # each holds several file names
{
if ! is_current .venv/.made-from $project_files; then
    make_environment .venv
    install_torch
    install .venv --no-deps -r locks/project.txt
    install .venv --no-deps -r locks/whole-wheels-project.txt
    fingerprint $project_files > .venv/.made-from
fi
if ! is_current .venv/.installed-from pyproject.toml; then
    install .venv --no-deps --no-build-isolation --editable .
    fingerprint pyproject.toml > .venv/.installed-from
fi
if ! is_current .venv-triton/.made-from $triton_files; then
    make_environment .venv-triton
    install .venv-triton --no-deps -r locks/triton.txt
    install .venv-triton --no-deps -r locks/whole-wheels-triton.txt
    fingerprint $triton_files > .venv-triton/.made-from
fi
}
