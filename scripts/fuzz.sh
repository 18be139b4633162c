#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other. Usage: fuzz.sh TIME (such as 30s)
set -euo pipefail
time=${1:?usage: fuzz.sh TIME}

targets=$(git ls-files -co --exclude-standard '*_test.go' | xargs grep -HoE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //')
while IFS=: read -r file target; do
  # -parallel 2: the memory of a fuzz worker is not small. -timeout: fuzzing time is bounded apart from it.
  go test -v -run '^$' -fuzz "^$target\$" -fuzztime "$time" -parallel 2 -timeout 10m "./$(dirname "$file")"
done <<<"$targets"
