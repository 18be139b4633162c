#!/usr/bin/env bash
# Packs the committed mixin: validator-monitor-mixin-VERSION.tar.gz and its SHA-256 sum, into the directory $1. The same
# commit gives the same bytes: sorted names, root as owner, the commit's time, nothing of this machine. It packs twice, from
# copies of different times and modes, and fails when the two differ.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
destination=$1

inputs=(mixin/generated docs/runbooks mixin/CHANGELOG.md mixin/README.md mixin/VERSION LICENSE)
if [ -n "$(git status --porcelain --untracked-files=all -- "${inputs[@]}")" ]; then
  echo "commit first; these are not as in the last commit:" >&2
  git status --short --untracked-files=all -- "${inputs[@]}" >&2
  exit 1
fi
name=validator-monitor-mixin-$(cat mixin/VERSION)
seconds=$(git log -1 --format=%ct)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# pack UMASK TIME FILE: stages a copy and packs it.
pack() {
  local stage=$work/$1
  (
    umask "$1"
    mkdir -p "$stage/$name"
    cp -R "${inputs[@]}" "$stage/$name"
    sed -i 's#](../docs/runbooks)#](runbooks)#' "$stage/$name/README.md"
    find "$stage" -exec touch -d "$2" {} +
  )
  tar --create --directory="$stage" --format=ustar --sort=name --owner=root:0 --group=root:0 --numeric-owner \
    --mode=u=rwX,go=rX --mtime="@$seconds" "$name" | gzip -n -9 > "$3"
}

pack 022 2001-02-03 "$work/first"
pack 077 2011-12-13 "$work/second"
if ! cmp "$work/first" "$work/second"; then
  echo "packing twice gave two archives" >&2
  exit 1
fi
mkdir -p "$destination"
mv "$work/first" "$destination/$name.tar.gz"
chmod 644 "$destination/$name.tar.gz"
cd "$destination"
sha256sum "$name.tar.gz" > "$name.sha256"
cat "$name.sha256"
