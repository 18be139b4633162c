# Ethereum Validator Monitor. `make help` lists the targets; everything needs GNU make, Go and a C compiler, and tests need Postgres.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.DELETE_ON_ERROR:

BIN   := bin
TOOLS := $(BIN)/tools

# Version information is of the commit, not of the build, so that a build can be repeated.
VERSION_PKG := github.com/prometheus/common/version
LDFLAGS = -s -w \
	-X $(VERSION_PKG).Version=$(shell cat VERSION) \
	-X $(VERSION_PKG).Revision=$(shell git rev-parse HEAD 2>/dev/null || echo unknown) \
	-X $(VERSION_PKG).Branch=$(shell git rev-parse --abbrev-ref HEAD 2>/dev/null || echo unknown) \
	-X $(VERSION_PKG).BuildDate=$(shell TZ=UTC git log -1 --date=format-local:%Y%m%d-%H:%M:%S --format=%cd 2>/dev/null || echo unknown)
GO_BUILD = CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)'

# How long each fuzz target runs in e2e.
FUZZTIME ?= 30s
# When set: a file to which each test run appends its numbers of passed and failed tests.
TEST_COUNTS ?=
E2E = ./test/... ./internal/devnet/... ./internal/kubernetes/...
SUMMARY = awk -v counts="$(TEST_COUNTS)" -v verbose=$(VERBOSE) -f scripts/summary.awk
# Packages that are tested without the race detector.
PURE = /(mixin|validator-mixin)(/|$$)
# VERBOSE=1 shows what passing tests say.
VERBOSE ?=

.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-z][a-z0-9-]*):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

# The programs that each tools/SET/go.mod pins.
PRYSM        := $(addprefix $(TOOLS)/,beacon-chain validator prysmctl)
GETH         := $(addprefix $(TOOLS)/,geth)
PROMETHEUS   := $(addprefix $(TOOLS)/,prometheus promtool)
ALERTMANAGER := $(addprefix $(TOOLS)/,amtool alertmanager)
HELM         := $(addprefix $(TOOLS)/,helm)
KUBERNETES   := $(addprefix $(TOOLS)/,kube-apiserver kubectl)
VALIDATE     := $(addprefix $(TOOLS)/,kubectl-validate)
LINT         := $(addprefix $(TOOLS)/,staticcheck gofumpt)

##### Building and running

.PHONY: build
build: ## bin/validator-exporter, bin/validator-mixin, bin/validator-rollup
	$(GO_BUILD) -o $(BIN)/ ./cmd/...

.PHONY: run
run: build ## the exporter on a simulated chain, or on BEACON_URL=… with VALIDATORS=1,2,0x…; at LISTEN=127.0.0.1:8080
	go build -o $(BIN)/ ./internal/chainsim/cmd/chainsim
	@scripts/run.sh

.PHONY: generate
generate: $(HELM) ## rewrite what is generated: docs/metrics.md, mixin/generated, docs/runbooks, the chart's copies, deploy/kubernetes, the README's alerts
	go run ./collector/catalog/cmd/catalog-docs > docs/metrics.md.new
	mv docs/metrics.md.new docs/metrics.md
	go run ./cmd/validator-mixin generate
	go run ./deploy/render --helm $(HELM)
	go test ./test/deploy -run TableOfAlerts -update-readme

.PHONY: mixin-release
mixin-release: ## the mixin's archive and its checksum, into dist/
	go run ./cmd/validator-mixin generate --check
	scripts/mixin-release.sh dist

.PHONY: clean
clean: ## remove bin/, built tools included, and dist/
	rm -rf $(BIN) dist

##### Checking

.PHONY: lint
lint: $(LINT) ## go mod tidy, go vet, staticcheck, gofumpt
	go mod tidy -diff
	go vet ./...
	go vet -tags e2e ./...
	$(TOOLS)/staticcheck -tags e2e ./...
	@unformatted=$$($(TOOLS)/gofumpt -l .); if [ -n "$$unformatted" ]; then \
		echo "not formatted; run $(TOOLS)/gofumpt -w on:"; echo "$$unformatted"; exit 1; fi

.PHONY: test
test: postgres ## all tests that need nothing but Go and Postgres, with the race detector
	@# The mixin's packages are pure functions without a goroutine: under the race detector they take minutes and show nothing.
	{ go test -race -v -timeout 15m $$(go list ./... | grep -vE '$(PURE)'); \
	  go test -v -timeout 10m $$(go list ./... | grep -E '$(PURE)'); } 2>&1 | $(SUMMARY)

.PHONY: mixin-check
mixin-check: $(PROMETHEUS) $(ALERTMANAGER) ## promtool and amtool on the generated rules, their tests and the Alertmanager example
	go test -tags e2e -v -count 1 -timeout 30m -run 'TestPrometheusAndAlertmanager|TestTools' ./mixin/output 2>&1 | $(SUMMARY)

.PHONY: e2e
e2e: VERBOSE = 1
e2e: tools postgres etcd ## real beacon nodes, Prometheus, Alertmanager and Kubernetes API server, then every fuzz target for FUZZTIME
	@# Compiled first: a chain of 2-second slots misses blocks while compilers have the processors.
	go test -tags e2e -exec true $(E2E) > /dev/null
	@# Images have a target of their own: image-test.
	go test -tags e2e -v -count 1 -p 1 -timeout 40m -skip '^TestImages$$' $(E2E) 2>&1 | $(SUMMARY)
	scripts/fuzz.sh $(FUZZTIME) 2>&1 | $(SUMMARY)

.PHONY: bench
bench: build postgres ## the benchmarks in test/bench; writes docs/performance.md, fails when a bound is broken
	scripts/bench.sh

##### Deploying

.PHONY: image
image: ## the images, with docker, podman or buildah; see scripts/image.sh for PLATFORMS, BUILDER_IMAGE and others
	scripts/image.sh

.PHONY: image-test
image-test: ## build the images and run them: user, read-only root, health check, size; BUILDER_IMAGE=local needs no registry
	go test -tags e2e -v -count 1 -timeout 30m -run '^TestImages$$' ./test/deploy 2>&1 | $(SUMMARY)

.PHONY: deploy-check
deploy-check: $(HELM) $(KUBERNETES) $(VALIDATE) $(PROMETHEUS) $(ALERTMANAGER) etcd ## the chart, the manifests and the programs' configuration: valid, hardened, taken by a real API server
	go test -tags e2e -v -count 1 -timeout 20m -run '^Test(Charts?|Manifests|Cluster|Config|KubePrometheusStack|Systemd)' ./test/deploy ./internal/kubernetes 2>&1 | $(SUMMARY)

##### Third-party programs

.PHONY: postgres
postgres: ## Postgres for tests: with apt-get when it is missing and we are root, else says how
	@scripts/postgres.sh

.PHONY: etcd
etcd: ## etcd for tests, likewise
	@scripts/etcd.sh

.PHONY: tools
tools: $(PRYSM) $(GETH) $(PROMETHEUS) $(ALERTMANAGER) $(HELM) $(KUBERNETES) $(VALIDATE) $(LINT) ## the programs that tests, lint and generate use, into bin/tools (half an hour at first)

$(PRYSM)        &: tools/prysm/go.mod        ; $(call build_tools,prysm,$(PRYSM))
$(GETH)         &: tools/geth/go.mod         ; $(call build_tools,geth,$(GETH))
$(PROMETHEUS)   &: tools/prometheus/go.mod   ; $(call build_tools,prometheus,$(PROMETHEUS))
$(ALERTMANAGER) &: tools/alertmanager/go.mod scripts/alertmanager.sh ; scripts/alertmanager.sh $(TOOLS) && touch $(ALERTMANAGER)
$(LINT)         &: tools/lint/go.mod         ; $(call build_tools,lint,$(LINT))
# One module, so that what both need is compiled once; two rules, since generate needs helm alone.
$(HELM)         &: tools/kubernetes/go.mod   ; $(call build_tools,kubernetes,$(HELM),helm.sh/helm/v3/cmd/helm)
$(KUBERNETES)   &: tools/kubernetes/go.mod   ; $(call build_tools,kubernetes,$(KUBERNETES),$(addprefix k8s.io/kubernetes/cmd/,kube-apiserver kubectl),$(KUBERNETES_VERSION))
$(VALIDATE)     &: tools/kubectl-validate/go.mod ; $(call build_tools,kubectl-validate,$(VALIDATE))

# The server tells its version to helm, which compares it with what a chart asks for; a module build knows none.
KUBERNETES_VERSION = -X k8s.io/component-base/version.gitVersion=$$(go list -m -f '{{.Version}}' k8s.io/kubernetes)

# -s -w: without symbols they link faster and are a third smaller. touch: go leaves an unchanged binary's time alone.
define build_tools
mkdir -p $(TOOLS)
cd tools/$(1) && go build -ldflags "-s -w $(4)" -o $(CURDIR)/$(TOOLS)/ $(or $(3),tool)
touch $(2)
endef
