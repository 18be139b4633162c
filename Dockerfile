# The commands of this project, one target each: validator-exporter, validator-rollup, validator-mixin, chainsim.
# `make image` builds them all and passes what an image cannot know by itself: revision, branch and date of the commit.
#
# Builder and runtime are arguments, for a registry mirror or another base. The builder must have Go, /bin/sh and CA
# certificates at their usual place, and nothing else. A tag can be moved: where that matters, give both with a digest.
ARG BUILDER_IMAGE=golang:1.26.8-bookworm
ARG RUNTIME_IMAGE=scratch
# That of the file VERSION, which labels cannot read; the build fails where the two differ.
ARG VERSION=0.1.0

# The compiler runs on the machine's own platform and compiles for the image's: nothing is emulated.
FROM --platform=$BUILDPLATFORM ${BUILDER_IMAGE} AS build
WORKDIR /src
# GOTOOLCHAIN: the builder's Go and no other, whatever go.mod says.
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOMODCACHE=/go/pkg/mod GOCACHE=/go/build-cache
# For a module proxy of one's own. They stay in this stage, so no image tells them.
ARG GOPROXY
ARG GOSUMDB
ARG GONOSUMDB
ARG GOFLAGS

COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download

COPY . .
ARG VERSION
ARG REVISION=unknown
ARG BRANCH=unknown
# As in the label, 2026-01-31T12:00:00Z; the commands show it as 20260131-12:00:00.
ARG CREATED
ARG TARGETOS
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/build-cache \
    set -eu; \
    if [ "$VERSION" != "$(cat VERSION)" ]; then echo "the argument VERSION is $VERSION, the file VERSION says $(cat VERSION)" >&2; exit 1; fi; \
    date=unknown; \
    if [ -n "${CREATED:-}" ]; then date=$(IFS=-T:Z; set -- $CREATED; echo "$1$2$3-$4:$5:$6"); fi; \
    package=github.com/prometheus/common/version; \
    GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -o /out/ \
      -ldflags "-s -w -X $package.Version=$VERSION -X $package.Revision=$REVISION -X $package.Branch=$BRANCH -X $package.BuildDate=$date" \
      ./cmd/... ./internal/chainsim/cmd/chainsim

# What all images have: certificates to trust, the licence, and a user that owns nothing.
FROM ${RUNTIME_IMAGE} AS runtime
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# Not with the mode that a checkout happens to have.
COPY --chmod=444 LICENSE /LICENSE
USER 10001:10001
ARG VERSION
ARG REVISION=unknown
ARG CREATED
LABEL org.opencontainers.image.source="https://github.com/ethereum-validator-monitor/validator-monitor" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

FROM runtime AS validator-rollup
LABEL org.opencontainers.image.title="validator-rollup" \
      org.opencontainers.image.description="Keeps completed windows of Ethereum validators in Postgres"
COPY --from=build /out/validator-rollup /validator-rollup
EXPOSE 8090
# The check itself gives up after 5 s.
HEALTHCHECK --interval=30s --timeout=6s --start-period=10s --retries=3 CMD ["/validator-rollup", "healthcheck"]
ENTRYPOINT ["/validator-rollup"]

# It renders files and ends: there is nothing to ask whether it is alive.
FROM runtime AS validator-mixin
LABEL org.opencontainers.image.title="validator-mixin" \
      org.opencontainers.image.description="Renders dashboards, rules, alerts and runbooks for Ethereum validators"
COPY --from=build /out/validator-mixin /validator-mixin
ENTRYPOINT ["/validator-mixin"]

# For demonstrations. It has no command that asks whether it is alive. Without the flag it would listen inside its
# container only; a later --listen overrides it.
FROM runtime AS chainsim
LABEL org.opencontainers.image.title="chainsim" \
      org.opencontainers.image.description="A simulated Ethereum beacon chain behind the standard Beacon API"
COPY --from=build /out/chainsim /chainsim
EXPOSE 5052
ENTRYPOINT ["/chainsim", "--listen=:5052"]

# The last target is what a build without --target makes.
FROM runtime AS validator-exporter
LABEL org.opencontainers.image.title="validator-exporter" \
      org.opencontainers.image.description="Exposes to Prometheus what the chain says about Ethereum validators"
COPY --from=build /out/validator-exporter /validator-exporter
# The second port is for Prometheus alone, where it is turned on with --web.listen-address=:8080 --web.listen-address=:9090.
EXPOSE 8080 9090
HEALTHCHECK --interval=30s --timeout=6s --start-period=10s --retries=3 CMD ["/validator-exporter", "healthcheck"]
ENTRYPOINT ["/validator-exporter"]
