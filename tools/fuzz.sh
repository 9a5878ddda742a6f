#!/usr/bin/env bash
# Runs every fuzz target of the module for FUZZTIME, one after the other.
set -euo pipefail

found=0
while IFS=: read -r file _ line; do
  name=$(sed -E 's/^func (Fuzz[A-Za-z0-9_]+).*/\1/' <<<"$line")
  echo "== $name ($(dirname "$file"))"
  go test -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-20s}" -fuzzminimizetime 100x "./$(dirname "$file")"
  found=1
done < <(git ls-files '*_test.go' | xargs grep -nHE '^func Fuzz[A-Za-z0-9_]+\(')
if [ "$found" -eq 0 ]; then
  echo "no fuzz targets found" >&2
  exit 1
fi
