#!/usr/bin/env bash
# Makes a builder image where no registry can be reached, and prints its name: this machine's Go, busybox as the shell, and
# this machine's CA certificates. It is a stand-in for the Dockerfile's builder, so that the Dockerfile can be built and
# tested: the certificates in what it builds are those that this machine trusts, its own additions included. The Go must be
# of the version that the Dockerfile pins, or nothing is made.
set -euo pipefail
cd "$(dirname "$0")/.."

engine=$(scripts/image-engine.sh)
name=localhost/ethereum-validator-monitor/builder
certificates=/etc/ssl/certs/ca-certificates.crt

pinned=$(sed -nE 's/^ARG BUILDER_IMAGE=golang:([0-9.]+)-.*/go\1/p' Dockerfile)
have=$(GOTOOLCHAIN=local go env GOVERSION)
if [ "$have" != "$pinned" ]; then
  echo "image-base: the Dockerfile pins $pinned and this machine has $have: a stand-in for the builder needs the same" >&2
  exit 1
fi

busybox() { for candidate in /bin/busybox /usr/bin/busybox; do if [ -x "$candidate" ]; then echo "$candidate"; return; fi; done; }
# Only a static one starts in an image without libraries.
static() { [ -n "$(busybox)" ] && ! ldd "$(busybox)" >/dev/null 2>&1; }
if ! static || [ ! -r "$certificates" ]; then
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "busybox-static or ca-certificates is missing: installing them with apt-get" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2
    apt-get install -y -qq --no-install-recommends busybox-static ca-certificates >/dev/null
  fi
  if ! static || [ ! -r "$certificates" ]; then
    echo "image-base: a static busybox and $certificates are needed: apt-get install busybox-static ca-certificates" >&2
    exit 1
  fi
fi

echo "image-base: no registry is asked: the builder is a stand-in with $have, busybox and the CA certificates of this machine" >&2
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir -p "$context/bin" "$context/etc/ssl/certs" "$context/usr/local/go" "$context/tmp" "$context/root"
cp -L "$(busybox)" "$context/bin/busybox"
for applet in sh cat echo mkdir rm; do ln -s busybox "$context/bin/$applet"; done
cp -L "$certificates" "$context/etc/ssl/certs/"
# What compiling Go reads, and no more.
root=$(GOTOOLCHAIN=local go env GOROOT)
cp -aL "$root"/{bin,pkg,src,VERSION,go.env} "$context/usr/local/go/"
cat >"$context/Dockerfile" <<'TEXT'
FROM scratch
COPY bin /bin
COPY etc /etc
COPY usr /usr
COPY tmp /tmp
COPY root /root
ENV PATH=/usr/local/go/bin:/bin GOTOOLCHAIN=local HOME=/root
TEXT

read -ra build <<<"$engine"
build+=(build)
case $engine in
  docker*) export DOCKER_BUILDKIT=1 ;;
  # --timestamp: the same toolchain makes the same image, so that what was built on it is found again.
  *) build+=(--format docker --isolation chroot --layers --timestamp 0) ;;
esac
"${build[@]}" --tag "$name:$have" "$context" >&2
echo "$name:$have"
