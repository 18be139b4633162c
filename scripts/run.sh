#!/usr/bin/env bash
# Starts the exporter on a simulated chain, or on a real beacon node. Ctrl-C stops it. Settings, from the environment:
#   LISTEN      address of the exporter             (127.0.0.1:8080)
#   BEACON_URL  a beacon node to watch              (none: a simulated chain is started)
#   VALIDATORS  indices or public keys, with commas (1-20,100,1000 on the simulated chain)
set -euo pipefail
cd "$(dirname "$0")/.."

listen=${LISTEN:-127.0.0.1:8080}
simulator=127.0.0.1:15052 # not 5052, where a beacon node of this machine may listen

trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
trap 'exit 0' INT TERM

hint=
if [ -z "${BEACON_URL:-}" ]; then
  bin/chainsim --listen "$simulator" --validators 2000 --slot-duration 2s --faults demo &
  BEACON_URL=http://$simulator
  if [ -z "${VALIDATORS:-}" ]; then
    VALIDATORS=1-20,100,1000
    hint="
Validator 100 is offline all the time. In the second minute 1000 is slashed, and 1 to 20 go offline for two minutes.
"
  fi
  until bin/chainsim healthcheck --url "$BEACON_URL/eth/v1/node/health" >/dev/null 2>&1; do
    kill -0 $! 2>/dev/null || { wait $!; exit 1; } # it has said why
    sleep 0.2
  done
fi
if [ -z "${VALIDATORS:-}" ]; then
  echo "run: set VALIDATORS to the validators to watch, such as VALIDATORS=1,2,0x93… make run" >&2
  exit 1
fi

bin/validator-exporter --beacon.url "$BEACON_URL" --validator "$VALIDATORS" --web.listen-address "$listen" &
case $listen in :*) at=http://localhost$listen ;; *) at=http://$listen ;; esac
cat <<TEXT

  what is wrong  $at/api/v1/validators?offending=true
  validators     $at/api/v1/validators
  metrics        $at/metrics
  ready?         $at/-/ready
  node           $BEACON_URL
$hint
The exporter reads the chain when its metrics are read, which this script does every few seconds, as Prometheus would. Until
it has read the first time, all but the metrics are answered with 503.

Ctrl-C stops.

TEXT
while :; do
  bin/validator-exporter healthcheck --timeout=30s --url="$at/metrics" || true
  sleep 3
done >/dev/null 2>&1 &
wait -n
