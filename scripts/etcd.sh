#!/usr/bin/env bash
# Makes sure that the tests find an etcd to start, for the Kubernetes API server: installs one with apt-get when it is
# missing and we are root, else says what to do. The tests start servers of their own from it.
set -euo pipefail

if command -v etcd >/dev/null 2>&1; then exit 0; fi

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "etcd is missing: installing it with apt-get" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends etcd-server >/dev/null
  if command -v etcd >/dev/null 2>&1; then exit 0; fi
fi

echo "The tests start an etcd of their own and find none in PATH. Install version 3.4 or newer: apt-get install etcd-server, dnf install etcd, or brew install etcd" >&2
exit 1
