#!/bin/sh
# Resolves pyproject.toml into the pinned, hashed files requirements/*.txt for Python 3.11 to 3.13 on any platform.
#
#   requirements.sh PYTHON [--upgrade | --upgrade-package NAME]
set -eu

python=$1
shift
export UV_CUSTOM_COMPILE_COMMAND="make requirements"

resolve() {
    "$python" -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url "$@"
}

# The one that holds everything comes first, and the versions it chose hold for all the others.
# PyTorch is left out: where no build for processors alone is to be had, it brings gigabytes of other things.
resolve "$@" pyproject.toml --extra models --extra mlflow --extra postgresql --extra demo --group check --group docs --group build -o requirements/check.txt

within="-c requirements/check.txt"
# shellcheck disable=SC2086
{
    resolve "$@" $within pyproject.toml -o requirements/base.txt
    for extra in sklearn models postgresql demo; do
        resolve "$@" $within pyproject.toml --extra "$extra" -o "requirements/$extra.txt"
    done
    for group in docs build; do
        resolve "$@" $within --group "$group" -o "requirements/$group.txt"
    done
    resolve "$@" $within requirements/uv.in -o requirements/uv.txt
}

# Peers have environments of their own. They must read the model that we trained, so they share its library with us.
shared=$(mktemp)
trap 'rm -f "$shared"' EXIT
grep -E '^(scikit-learn|joblib)==' requirements/check.txt | sed 's/ .*//' > "$shared"
for peer in fastapi mlflow mlserver bentoml litserve ray pytriton; do
    resolve "$@" -c "$shared" --no-annotate "requirements/bench-$peer.in" -o "requirements/bench-$peer.txt"
done
