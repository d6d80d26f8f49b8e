#!/bin/sh
# Compiles the locks from pyproject.toml and locks/*.in. `make locks` runs it; commit what it writes.
# torch is pinned in pyproject.toml and left out here: scripts/setup.sh chooses its build.
set -eu
cd "$(dirname "$0")/.."
compile() {
    output=$1
    shift
    .venv/bin/pip-compile --quiet --strip-extras --allow-unsafe --no-annotate --no-header \
        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host "$@" --output-file "$output"
    { echo "# Compiled by scripts/lock.sh (make locks): do not edit."; grep -v -e '^torch==' -e '^#' "$output"; } \
        > "$output.tmp"
    mv "$output.tmp" "$output"
}
compile locks/project.txt --extra cpu --extra train --extra local --extra dev pyproject.toml
compile locks/triton.txt locks/triton.in
# What the gateway's image installs, with the versions of the tests; one lock for each FAISS.
compile locks/gateway.txt --constraint locks/project.txt --extra cpu pyproject.toml
compile locks/gateway-gpu.txt --constraint locks/project.txt --extra gpu pyproject.toml
