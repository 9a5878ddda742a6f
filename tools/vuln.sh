#!/usr/bin/env bash
# Looks for known vulnerabilities in what the code calls. The database is
# fetched; where it cannot be reached this says so and fails only with
# VULN=required, which release builds set.
set -uo pipefail

out=$(go tool -modfile=tools/go.mod govulncheck ./... 2>&1)
rc=$?
case $rc in
0) ;;
3) ;; # something was found
*)
  if [ "${VULN:-}" != required ] && grep -q 'fetching vulnerabilities' <<<"$out"; then
    echo "not checked for known vulnerabilities: the database cannot be reached from here" >&2
    exit 0
  fi
  ;;
esac
echo "$out"
exit $rc
