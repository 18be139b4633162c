#!/usr/bin/env bash
# Runs the benchmark programs in test/bench and writes their tables into docs/performance.md, below its marker line.
# Each program prints Markdown and exits 1 when a promised bound is broken.
set -euo pipefail
cd "$(dirname "$0")/.."

doc=docs/performance.md
marker='<!-- below: written by make bench -->'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

status=0
for dir in test/bench/*/; do
  name=$(basename "$dir")
  go build -o "$work/$name" "./$dir"
  printf '## %s\n\n' "${name^}" >>"$work/tables"
  "$work/$name" | tee -a "$work/tables" || status=1
  echo >>"$work/tables"
done

if [ ! -e "$doc" ]; then printf '# Performance\n\n%s\n' "$marker" >"$doc"; fi
sed "/^$marker\$/q" "$doc" >"$work/doc"
{
  cat "$work/doc"
  printf '\n%s, %s cores, %s.\n\n' "$(go env GOVERSION GOOS GOARCH | paste -sd' ')" "$(nproc)" \
    "$(sed -n 's/^model name[^:]*: //p;T;q' /proc/cpuinfo)"
  sed '$d' "$work/tables"
} >"$doc"
exit $status
