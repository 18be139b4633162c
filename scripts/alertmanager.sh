#!/usr/bin/env bash
# Builds amtool and Alertmanager into the directory $1. Alertmanager embeds its web pages, which its module does not hold and
# tests do not need: go build is told of one page in their place.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
destination=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd tools/alertmanager
go mod download github.com/prometheus/alertmanager
module=$(go list -m -f '{{.Dir}}' github.com/prometheus/alertmanager)
echo 'This Alertmanager was built for tests, without its pages.' >"$work/index.html"
printf '{"Replace": {"%s": "%s"}}\n' "$module/ui/app/dist/index.html" "$work/index.html" >"$work/overlay.json"
go build -ldflags '-s -w' -overlay "$work/overlay.json" -o "$destination/" tool
