#!/usr/bin/env bash
# Starts the exporter on a simulated chain, or on a real beacon node. Ctrl-C stops it. Settings, from the environment:
#   LISTEN      address of the exporter             (127.0.0.1:8080)
#   BEACON_URL  a beacon node to watch              (none: a simulated chain is started)
#   VALIDATORS  indices or public keys, with commas (1 to 20 on the simulated chain)
set -euo pipefail
cd "$(dirname "$0")/.."

listen=${LISTEN:-127.0.0.1:8080}
simulator=127.0.0.1:5052

trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
trap 'exit 0' INT TERM

if [ -z "${BEACON_URL:-}" ]; then
  bin/chainsim --listen "$simulator" --validators 2000 --slot-duration 2s --faults demo &
  BEACON_URL=http://$simulator
  VALIDATORS=${VALIDATORS:-$(seq -s, 1 20)}
fi
if [ -z "${VALIDATORS:-}" ]; then
  echo "run: set VALIDATORS to the validators to watch, such as VALIDATORS=1,2,0x93… make run" >&2
  exit 1
fi

bin/validator-exporter --beacon.url "$BEACON_URL" --validator "$VALIDATORS" --web.listen-address "$listen" &
cat <<TEXT

  metrics     http://$listen/metrics
  validators  http://$listen/api/v1/validators
  ready?      http://$listen/-/ready
  node        $BEACON_URL

Ctrl-C stops.

TEXT
wait -n
