#!/usr/bin/env bash
# Builds the images of this project: all of them, or the targets of the Dockerfile that are named. Each is tagged
# PREFIX/TARGET:VERSION. Settings, from the environment:
#   ENGINE         docker, podman or buildah                                (the first that works)
#   PREFIX         what stands before the targets' names                    (ethereum-validator-monitor)
#   PLATFORMS      such as linux/amd64,linux/arm64                          (the machine's own)
#   BUILDER_IMAGE  the image with Go; "local": made of this machine's Go    (the Dockerfile's)
#   RUNTIME_IMAGE  what the commands are put on                             (the Dockerfile's: scratch)
#   GOPROXY, GOSUMDB, GONOSUMDB, GOFLAGS, HTTP_PROXY, HTTPS_PROXY, NO_PROXY are passed on when they are set.
#
# Several platforms make one tag with all of them: with docker that needs buildx and the containerd image store. To push,
# use the engine's own push (for several platforms: docker push, podman manifest push --all).
#
# CI has no registry and no docker engine: podman with BUILDER_IMAGE=local is what is tested there, the rest is not.
set -euo pipefail
cd "$(dirname "$0")/.."

engine=$(scripts/image-engine.sh)
prefix=${PREFIX:-ethereum-validator-monitor}
version=$(<VERSION)
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then targets=(validator-exporter validator-rollup validator-mixin chainsim); fi

# Of the commit, not of the build, so that a build can be repeated: the layers' files get its time, too.
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
branch=$(git rev-parse --abbrev-ref HEAD 2>/dev/null || echo unknown)
seconds=$(git log -1 --format=%ct 2>/dev/null || true)
created=$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null || true)
if [ -n "$(git status --porcelain -- Dockerfile .dockerignore VERSION LICENSE go.mod go.sum cmd collector internal mixin rollup 2>/dev/null)" ]; then
  echo "image: files differ from the commit $revision, which the images will name all the same" >&2
fi

arguments=(--build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "BRANCH=$branch" --build-arg "CREATED=$created")
if [ "${BUILDER_IMAGE:-}" = local ]; then
  BUILDER_IMAGE=$(ENGINE=$engine scripts/image-base.sh)
  # The modules that this machine has need no download; go.sum proves them as it proves those of a proxy.
  modules=$(go env GOMODCACHE)/cache/download
  if [ -d "$modules" ] && [[ $engine != docker* ]]; then
    GOPROXY=file:///modules,$(go env GOPROXY)
    arguments+=(--volume "$modules:/modules:ro")
  fi
fi
for name in BUILDER_IMAGE RUNTIME_IMAGE GOPROXY GOSUMDB GONOSUMDB GOFLAGS HTTP_PROXY HTTPS_PROXY NO_PROXY; do
  # Without a value the engine takes it from the environment, where no list of processes shows it.
  if [ -n "${!name:-}" ]; then export "${name?}"; arguments+=(--build-arg "$name"); fi
done

case $engine in
  docker*)
    export DOCKER_BUILDKIT=1 # mounts of caches need it
    build=("$engine" build)
    if $engine buildx version >/dev/null 2>&1; then build=("$engine" buildx build --load); fi
    if [ -n "$seconds" ]; then arguments+=(--build-arg "SOURCE_DATE_EPOCH=$seconds"); fi
    tag=--tag
    ;;
  *)
    read -ra build <<<"$engine"
    # --format docker: the other one has no health check. --isolation chroot: it needs the fewest rights. --layers: the
    # targets share what is compiled once.
    build+=(build --format docker --isolation chroot --layers)
    if [ -n "$seconds" ]; then arguments+=(--timestamp "$seconds"); fi
    # Buildah 1.28 has no value of its own where the Dockerfile names the platform of the builder.
    case $(uname -m) in x86_64) machine=amd64 ;; aarch64) machine=arm64 ;; *) machine=$(uname -m) ;; esac
    arguments+=(--build-arg "BUILDPLATFORM=linux/$machine")
    # The Dockerfile has these labels, but an earlier build's would be kept: the cache compares them before their
    # arguments are filled in.
    arguments+=(--label "org.opencontainers.image.version=$version" --label "org.opencontainers.image.revision=$revision"
      --label "org.opencontainers.image.created=$created")
    tag=--tag
    if [[ ${PLATFORMS:-} == *,* ]]; then tag=--manifest; fi
    ;;
esac
if [ -n "${PLATFORMS:-}" ]; then arguments+=(--platform "$PLATFORMS"); fi

for target in "${targets[@]}"; do
  name=$prefix/$target:$version
  echo "--- $name with $engine"
  if [ "$tag" = --manifest ]; then $engine manifest rm "$name" >/dev/null 2>&1 || true; fi
  "${build[@]}" "${arguments[@]}" --target "$target" "$tag" "$name" .
done
