#!/bin/sh
# Makes the development environment: make_venv.sh PYTHON FOLDER. Debian ships Python without `venv`: then its package
# is installed, which needs root or sudo. A half-made folder is thrown away, so that calling again always helps.
set -eu
python=$1
venv=$2

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

command -v "$python" >/dev/null || { echo "$python is not installed: sudo apt-get install python3 python3-venv" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or newer is needed, $python is $("$python" -V). Debian 12 and Raspberry Pi OS Bookworm have it." >&2
    exit 1
}
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "Python's venv is missing: installing Debian's package python3-venv"
    as_root apt-get update -qq
    as_root apt-get install -y -qq python3-venv
fi
if ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi
echo "installing Python packages into $venv (about a minute, once)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
