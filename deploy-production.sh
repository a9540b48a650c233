#!/bin/sh
vru="$(dirname -- "$0")/.venv/bin/vru"; [ -x "$vru" ] || vru=vru
exec "$vru" "$@"
