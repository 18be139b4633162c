#!/usr/bin/env bash
# Makes sure that the tests find a Postgres to start: installs one with apt-get when it is missing and we are root, else
# says what to do. The tests start servers of their own from it.
set -euo pipefail

have() {
  command -v initdb >/dev/null 2>&1 || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
    compgen -G '/usr/pgsql-*/bin/initdb' >/dev/null || compgen -G '/opt/homebrew/opt/postgresql@*/bin/initdb' >/dev/null ||
    compgen -G '/usr/local/opt/postgresql@*/bin/initdb' >/dev/null
}

if have; then exit 0; fi

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "Postgres is missing: installing it with apt-get" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends postgresql >/dev/null
  if have; then exit 0; fi
fi

echo "The tests start a Postgres of their own and find none. Install version 14 or newer: apt-get install postgresql, dnf install postgresql-server, or brew install postgresql@17" >&2
exit 1
