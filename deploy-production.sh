#!/bin/sh
# The paper's own commands, from any folder and without an activated environment.
here=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0")")" && pwd) || exit 1
vru=$here/.venv/bin/vru
[ -x "$vru" ] || vru=$(command -v vru) || {
    echo "error: there is no vru: neither $here/.venv/bin/vru nor one on the PATH." >&2
    echo "fix: cd '$here' && make install" >&2
    exit 1
}
# Of the folder that one stands in, if that is a project; else of the script's own.
export VRU_PROJECT_DEFAULT="$here"
exec "$vru" "$@"
