#!/bin/sh
# Makes what is yours of what compose.yaml reads: .env, watch/watch.yml and the secrets. A file that exists is left alone, so it
# can be run again. init.sh [FOLDER] puts the secrets elsewhere; SECRETS_DIR in .env must then name that folder.
#
# Compose mounts each file as it is, with its owner and mode, into containers that run as users of their own, none of
# whom is its owner. So the folder is what keeps others out: only its owner may enter it. Each file can be read by whoever
# it is mounted for; none is mounted for anybody else.
set -eu
umask 077
# own FILE copies the example of a file that is not there yet, for containers to read: whole or not at all.
own() {
  if [ ! -e "$1" ]; then
    cp "$1.example" "$1.new"
    chmod 644 "$1.new"
    mv "$1.new" "$1"
  fi
}
own "$(dirname "$0")/.env"
own "$(dirname "$0")/watch/watch.yml"

folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

random() { LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom | head -c 40; }

# keep NAME TEXT writes a secret that is not there yet, whole or not at all.
keep() {
  if [ ! -e "$1" ]; then
    printf '%s' "$2" >".$1.new"
    chmod 644 ".$1.new"
    mv ".$1.new" "$1"
  fi
}

# Postgres sets these when it makes its data. Change one there as well: ALTER ROLE rollup PASSWORD '…'
keep postgres-password "$(random)"
keep rollup-password "$(random)"
keep rollup-reader-password "$(random)"
keep db-url "postgres://rollup:$(cat rollup-password)@postgres:5432/rollup?sslmode=disable"
# Grafana's, for the user admin, likewise.
keep grafana-admin-password "$(random)"
# Headers that a hosted beacon node wants, one "Name: value" a line.
keep beacon-headers ""
# Where alerts go. Nothing listens at these addresses: until you write yours, Alertmanager logs that it cannot deliver.
for receiver in pager chat log; do
  keep "$receiver-url" "http://127.0.0.1:9/write-the-url-of-your-$receiver-to-secrets/$receiver-url"
done

cat <<TEXT
Settings are in .env, validators in watch/watch.yml, both beside compose.yaml.
Secrets are in $(pwd), which only $(id -un) may enter.
  Grafana:       user admin, password in grafana-admin-password
  alerts:        write the URLs of your webhooks to pager-url, chat-url and log-url
TEXT
