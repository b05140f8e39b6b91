#!/bin/sh
# Prints a Python that can build and run Tsavo, or says what is missing and how to get it.
#
#   find_python.sh [PYTHON]
set -u

fits() {
    command -v "$1" >/dev/null 2>&1 && "$1" -c '
import sys
sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1
}

fail() {
    echo "cannot set up: $1" >&2
    exit 1
}

# On Debian and its kin, as root, what is missing is installed; everybody else is told what to install.
need() {
    package=$1
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "installing $package" >&2
        { apt-get install -y -qq "$package" || { apt-get update -qq && apt-get install -y -qq "$package"; }; } \
            >/dev/null 2>&1 && return
    fi
    fail "$2 is missing. On Debian or Ubuntu: apt install $package"
}

python=""
if [ $# -gt 0 ]; then
    fits "$1" || fail "PYTHON=$1 is not Python 3.11, 3.12 or 3.13"
    python=$1
else
    for name in python3 python3.13 python3.12 python3.11 python; do
        if fits "$name"; then
            python=$name
            break
        fi
    done
    [ -n "$python" ] || fail "Python 3.11, 3.12 or 3.13 is needed; name one with 'make ... PYTHON=/path/to/python'"
fi

version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
"$python" -c 'import ensurepip' >/dev/null 2>&1 || need "$version-venv" "Python's venv module"
"$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' \
    || need "$version-dev" "the header Python.h"
command -v "${CXX:-c++}" >/dev/null 2>&1 || need g++ "a C++ compiler"

# The interpreter itself, not a shim that may choose another one elsewhere.
"$python" -c 'import sys; print(sys.executable)'
