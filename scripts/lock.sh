#!/bin/sh
# Writes requirements/*.txt from pyproject.toml: exact versions with the hashes of every wheel, for every platform and Python.
# Run it after a dependency changed; UV names the uv program. Add --upgrade to move to the newest versions.
set -eu
cd "$(dirname "$0")/.."
lock() {
    out="requirements/$1.txt"
    shift
    "${UV:-uv}" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
        --no-emit-find-links --no-annotate --output-file "$out" "$@"
}
# The tests must run what users run: both files are one resolution, the second cut down to what the program needs.
lock dev pyproject.toml --group dev "${@}"
lock run pyproject.toml --group build --constraints requirements/dev.txt "${@}"
lock beta --group pyproject.toml:beta "${@}"
# Files for the embedded speech, taken without their own dependencies: one is loaded by path, the other by ctypes.
sed -n 's/^speech = \[\(.*\)\]$/\1/p' pyproject.toml | tr -d '",' | tr ' ' '\n' > requirements/.speech.in
lock speech --no-deps requirements/.speech.in "${@}"
rm requirements/.speech.in
