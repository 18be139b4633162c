#!/usr/bin/env bash
# Prints the command with which images are built and run here: docker, podman or buildah, the first that works, or what
# ENGINE says. With the argument "run" only one that can run containers will do. When there is none and we are root, podman
# is installed with apt-get; else this says what to do.
set -euo pipefail

works() {
  # A docker client without an engine answers its version, too; info asks the engine.
  command -v "${1%% *}" >/dev/null 2>&1 && $1 info >/dev/null 2>&1
}

podman_command() {
  # Podman prefers crun, which in Debian 12 does not start where version 1 and 2 of control groups are mixed; runc does.
  if command -v runc >/dev/null 2>&1; then echo "podman --runtime=runc"; else echo podman; fi
}

find_engine() {
  local candidate
  for candidate in docker "$(podman_command)" buildah; do
    if [ "$candidate" = buildah ] && [ "${1:-}" = run ]; then continue; fi
    if works "$candidate"; then echo "$candidate"; return; fi
  done
  return 1
}

if [ -n "${ENGINE:-}" ]; then
  if works "$ENGINE"; then echo "$ENGINE"; exit 0; fi
  echo "ENGINE=$ENGINE does not work; see what \"$ENGINE info\" says" >&2
  exit 1
fi
if find_engine "${1:-}"; then exit 0; fi

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "no container engine works: installing podman with apt-get" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends podman runc netavark iptables >/dev/null
  if find_engine "${1:-}"; then exit 0; fi
fi

echo "Images need a container engine and none works here. Start docker, or install podman: apt-get install podman runc, or dnf install podman" >&2
exit 1
