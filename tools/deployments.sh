#!/usr/bin/env bash
# Checks what lies under deployments/ with the programs that read it: the chart,
# the compose file and the alert rules by their own libraries, in a module of its
# own; the systemd unit where systemd is installed.
set -euo pipefail

# -count=1: the cache of tests sees no change of files outside their module.
(cd deployments/check && CGO_ENABLED=0 go test -count=1 ./...)

if ! command -v systemd-analyze >/dev/null; then
  echo "not checked: the systemd unit, since systemd-analyze is not installed" >&2
  exit 0
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# The program that it starts need not be installed here.
sed 's|^ExecStart=/usr/bin/sitedrift|ExecStart=/bin/true|' deployments/sitedrift.service >"$dir/sitedrift.service"
# It ends well when it only warns, of a misspelt key for instance.
warnings=$(systemd-analyze verify "$dir/sitedrift.service" 2>&1)
if [ -n "$warnings" ]; then
  echo "$warnings" >&2
  exit 1
fi
# In tenths: exposed less than most services of a distribution.
systemd-analyze security --offline=true --no-pager --threshold=15 "$dir/sitedrift.service" | tail -1
