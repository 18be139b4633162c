#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other. Usage: fuzz.sh TIME (such as 30s)
set -euo pipefail
time=${1:?usage: fuzz.sh TIME}

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# fuzz FILE TARGET prints what `go test -v` says of one target.
fuzz() {
  # -parallel 2: the memory of a fuzz worker is not small. -timeout: fuzzing time is bounded apart from it.
  # -fuzzminimizetime: making interesting inputs smaller may not take the time from trying new ones, which it does by default.
  if go test -v -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 10x -parallel 2 -timeout 10m "./$(dirname "$1")" >"$log" 2>&1; then
    cat "$log"
  # Before Go 1.27 the end of the time can itself be reported as the failure (go.dev/issue/75804). A failure that fuzzing
  # has found, or that a seed shows, says so.
  elif grep -q '^    context deadline exceeded$' "$log" && ! grep -qE 'Failing input|seed corpus entry|panic:' "$log"; then
    echo "--- PASS: $2 (ended by its time)"
  else
    cat "$log"
    return 1
  fi
}

status=0
targets=$(git ls-files -co --exclude-standard '*_test.go' | xargs grep -HoE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //')
while IFS=: read -r file target; do
  fuzz "$file" "$target" || status=1
done <<<"$targets"
exit $status
