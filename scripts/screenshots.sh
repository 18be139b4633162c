#!/usr/bin/env bash
# Remakes docs/images/*.png from programs that really run: the simulated chain, on which validator 100 is offline, the
# exporter, and Prometheus with the rules of the preset solo, rendered for slots of 2 seconds. Takes about a quarter of an hour.
#
# Needs root, for a network of its own in which every address is the documented one; chromium; and a Prometheus with its web
# pages, which bin/tools/prometheus is built without: that of Debian's package prometheus, or PROMETHEUS=path.
set -euo pipefail
cd "$(dirname "$0")/.."

prometheus=${PROMETHEUS:-prometheus}
wait=${WAIT:-900} # seconds until all that is pictured has data
slot=2s

if [ -z "${SCREENSHOTS_INSIDE:-}" ]; then
  for program in chromium "$prometheus" unshare ip; do
    type "$program" >/dev/null 2>&1 || { echo "screenshots: $program is missing" >&2; exit 1; }
  done
  make --no-print-directory build
  go build -o bin/ ./internal/chainsim/cmd/chainsim
  exec env SCREENSHOTS_INSIDE=1 unshare --net --mount --pid --fork --kill-child --mount-proc "$0"
fi
ip link set lo up
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

cat > "$dir/watch.yml" <<'YAML'
validators:
  - {indices: "91-95", labels: {operator: acme, client: lighthouse}}
  - {indices: "96-100", labels: {operator: acme, client: teku}}
YAML
cat > "$dir/knobs.yaml" <<YAML
chain: {slot_duration: $slot, scrape_interval: 5s}
YAML
cat > "$dir/prometheus.yml" <<'YAML'
global: {scrape_interval: 5s, evaluation_interval: 5s}
rule_files: [rules/recording-rules.yaml, rules/alerts.yaml]
scrape_configs:
  - job_name: validator-exporter
    static_configs:
      - targets: ["localhost:8080"]
YAML
bin/validator-mixin render --preset=solo --config="$dir/knobs.yaml" --output="$dir/rules" >/dev/null

bin/chainsim --listen 127.0.0.1:5052 --validators 2000 --slot-duration "$slot" --faults demo >"$dir/chain.log" 2>&1 &
bin/validator-exporter --beacon.url http://localhost:5052 --validators.config "$dir/watch.yml" >"$dir/exporter.log" 2>&1 &
"$prometheus" --config.file "$dir/prometheus.yml" --storage.tsdb.path "$dir/data" --log.level=warn >"$dir/prometheus.log" 2>&1 &

sleep "$wait"
kill -0 $(jobs -p) || { tail -n 5 "$dir"/*.log >&2; exit 1; }

shot() { # NAME WIDTHxHEIGHT URL
  chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --hide-scrollbars --user-data-dir="$dir/chromium" \
    --virtual-time-budget=15000 --window-size="${2/x/,}" --screenshot="$dir/$1.png" "$3" >/dev/null 2>&1
  mv "$dir/$1.png" "docs/images/$1.png"
}
encode() { local LC_ALL=C s=$1 i c; for ((i = 0; i < ${#s}; i++)); do c=${s:i:1}; case $c in [A-Za-z0-9._~-]) printf %s "$c" ;; *) printf %%%02X "'$c" ;; esac; done; }

# The pages of Debian's Prometheus are below /classic.
table() { shot "$1" "$2" "http://localhost:9090/classic/graph?g0.expr=$(encode "$3")&g0.tab=1"; }
table alerts 1200x560 'ALERTS{alertstate="firing"}'
table lost 1200x560 'sum by (validator_index, vote, cause) (increase(ethereum_validator_attestation_votes_lost_total[10m])) > 0'
ls -l docs/images
