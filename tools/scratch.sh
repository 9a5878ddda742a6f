#!/usr/bin/env bash
# Runs a command with its temporary files in memory, where that has room for them, and removes what it leaves behind.
# Engines and databases put each write on the disk, which is most of what their tests wait for.
#   bash tools/scratch.sh go test ./...
set -euo pipefail
memory=/dev/shm
room=$((8 << 20)) # KiB

free=$(df --output=avail -k "$memory" 2>/dev/null | tail -n 1 || echo 0)
if [ "${free:-0}" -lt "$room" ] || [ ! -w "$memory" ]; then
  exec "$@"
fi
export GOTMPDIR=${GOTMPDIR:-${TMPDIR:-/tmp}} # builds stay on the disk
TMPDIR=$(mktemp -d "$memory/sitedrift-test.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
"$@"
