#!/usr/bin/env bash
# Builds the binaries that are released from what is committed, into a directory,
# and beside each a bill of materials (CycloneDX, JSON): its modules with
# versions, hashes and the licences that were found, and the Go release. Run again,
# it writes the same. A bill that does not name exactly the modules that its
# binary was linked from is an error. usage: sbom.sh DIRECTORY
set -euo pipefail

mkdir -p "${1:?where to}"
dir=$(realpath "$1")
tool=$(go tool -modfile=tools/go.mod -n cyclonedx-gomod)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone -q --depth 1 "file://$PWD" "$work/src" # the tool cannot read a worktree's git
cd "$work/src"
export CGO_ENABLED=0

# bill NAME TAG
bill() {
  local binary=$dir/$1 flags="${GOFLAGS:-} ${2:+-tags=$2}"
  GOFLAGS=$flags go build -trimpath -o "$binary" ./cmd/sitedrift
  if ! GOFLAGS=$flags "$tool" app -json -std -licenses -assert-licenses -noserial -notimestamp -main cmd/sitedrift -output "$binary.cdx.json" . 2>"$work/log"; then
    cat "$work/log" >&2
    exit 1
  fi
  if ! diff <(go version -m "$binary" | awk '$1 == "dep" {print $2 "@" $3}' | sort) \
    <(sed -nE '/"components"/,$ s|.*"bom-ref": "pkg:golang/([^?"]+)\?type=module.*|\1|p' "$binary.cdx.json" | grep -v '^std@' | sort -u) >&2; then
    echo "$binary.cdx.json does not name the modules of $binary (< the binary's, > the bill's)" >&2
    exit 1
  fi
  echo "$binary.cdx.json"
}

bill sitedrift ""
bill sitedrift-server noengine
