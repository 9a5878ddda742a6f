#!/usr/bin/env bash
# Makes sure that PostgreSQL's server programs are there. Tests start throw-away
# clusters of their own; none is created or started for the system.
set -euo pipefail

if command -v initdb >/dev/null 2>&1 || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
  exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
  echo "PostgreSQL's initdb is missing: install the PostgreSQL server (14 or newer) with your package manager, and put its bin folder into PATH" >&2
  exit 1
fi

sudo=
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null 2>&1; then
    echo "PostgreSQL's initdb is missing: run 'apt-get install postgresql' as root" >&2
    exit 1
  fi
  sudo=sudo
fi
export DEBIAN_FRONTEND=noninteractive
install() { $sudo apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }

echo "installing PostgreSQL for the tests" >&2
$sudo apt-get update -qq
# Debian's package creates and starts a cluster unless its common part says no.
install postgresql-common
$sudo sed -ri 's/^#?(create_main_cluster) .*/\1 = false/' /etc/postgresql-common/createcluster.conf
install postgresql
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
