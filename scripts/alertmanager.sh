#!/usr/bin/env bash
# Builds amtool and Alertmanager into the directory $1. Alertmanager embeds its web pages, which its module does not hold and
# tests do not need, so it is built from a copy of the module that has one page in their place.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
destination=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd tools/alertmanager
module=github.com/prometheus/alertmanager
go mod download "$module"
cp -R "$(go list -m -f '{{.Dir}}' "$module")" "$work/copy"
chmod -R u+w "$work/copy"
mkdir -p "$work/copy/ui/app/dist"
echo 'This Alertmanager was built for tests, without its pages.' >"$work/copy/ui/app/dist/index.html"

cp go.mod go.sum "$work"
go mod edit -replace "$module=$work/copy" "$work/go.mod"
go build -modfile "$work/go.mod" -trimpath -ldflags '-s -w' -o "$destination/" tool
