# make help lists what people run. A fresh clone needs Go, make, git, npm and a C compiler (for -race); the rest comes by `make deps`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO        ?= go
ARGS      ?=
# Packages tested at once. Some start a ClickHouse engine or a PostgreSQL cluster of their own.
P         ?= 3
TESTFLAGS ?=
# Random cases per property. More: make test RAPID_CHECKS=200
export RAPID_CHECKS ?= 10
FUZZTIME  ?= 20s
# CGO_ENABLED=0: the engine is loaded without cgo, and the binary runs on older systems, too.
BUILD     := CGO_ENABLED=0 $(GO) build
# SQLite is translated C, all pointer arithmetic: checking each pointer took up to 40 % of a package's CPU time. Races are looked for there, too.
RACE      := -race -gcflags=modernc.org/...=-d=checkptr=0
# One set of flags for all builds, so that they share the compiler's cache. Builds inside tests take the variable over.
export GOFLAGS += -trimpath
TOOL      := $(GO) tool -modfile=tools/go.mod
NPM_DIRS   = $(dir $(shell git ls-files '*package-lock.json'))

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

.PHONY: build
build: bin/sitedrift ## Build bin/sitedrift with the embedded engine's support

# Always asked: the compiler's cache knows better what changed.
.PHONY: bin/sitedrift
bin/sitedrift:
	@$(BUILD) -o $@ ./cmd/sitedrift

.PHONY: server
server: ## Build bin/sitedrift-server: static, for servers and images, without the engine
	@$(BUILD) -tags noengine -o bin/sitedrift-server ./cmd/sitedrift

.PHONY: deps
deps: bin/sitedrift ## Install what tests need: PostgreSQL's programs, npm packages, the embedded engine
	@bash tools/postgresql.sh
	@for dir in $(NPM_DIRS); do \
	  if [ ! -e $$dir/node_modules/.package-lock.json ] || [ $$dir/package-lock.json -nt $$dir/node_modules/.package-lock.json ]; then \
	    npm ci --prefix $$dir --ignore-scripts --no-audit --no-fund --loglevel=error; \
	  fi; \
	done
	@bin/sitedrift engine install >&2

.PHONY: test
# Without vet, which takes a minute on a new machine: make lint runs it.
test: deps ## Run every test with the race detector; TESTFLAGS='-run X' narrows it
	@bash tools/scratch.sh env CGO_ENABLED=1 $(GO) test $(RACE) -vet=off -shuffle=on -timeout 40m -p $(P) $(TESTFLAGS) ./...

.PHONY: lint
lint: ## Check go.mod, run golangci-lint, check deployments/, then look for known vulnerabilities
	@$(GO) mod tidy -diff
	@$(TOOL) golangci-lint config verify
	@$(TOOL) golangci-lint run ./...
	@bash tools/deployments.sh
	@bash tools/vuln.sh

.PHONY: fmt
fmt: ## Format sources, sort imports, and mend what the linters can mend
	@$(TOOL) golangci-lint run --fix ./...

.PHONY: generate
generate: ## Write generated files anew: dataset pages, example configuration, dependency list
	@CGO_ENABLED=0 $(GO) generate ./...

.PHONY: verify
verify: generate ## Check that sources are formatted and generated files are committed
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	  if [ -n "$$unformatted" ]; then echo "not formatted with gofmt:" $$unformatted >&2; exit 1; fi
	@git diff --exit-code
	@untracked=$$(git ls-files --others --exclude-standard); \
	  if [ -n "$$untracked" ]; then echo "made by generate, or not committed:" $$untracked >&2; exit 1; fi

.PHONY: bench
bench: deps ## Measure against the stated limits; ARGS=--json prints one object a line
	@CGO_ENABLED=0 $(GO) run ./cmd/bench $(ARGS)

.PHONY: microbench
microbench: ## Run the benchmarks of the packages, in the form that benchstat reads
	@$(GO) test -run '^$$' -bench . -benchmem -count 6 -p 1 $(ARGS) ./...

.PHONY: replicas
replicas: deps ## Kill replicas under 2,000 schedules; ARGS='-fleet.for 5m' for the long form
	@CGO_ENABLED=0 $(GO) test -vet=off -run '^$$' -bench '^BenchmarkReplicas$$' -benchtime 1x -timeout 60m ./collector/state $(if $(ARGS),-args $(ARGS))

.PHONY: chaos
chaos: deps ## Let everything fail around running daemons: ARGS='--minutes 10 --seed 1', or ARGS='--sabotage 3'
	@bash tools/scratch.sh env CGO_ENABLED=0 $(GO) test -vet=off -count=1 -timeout 24h -v -run '^TestChaos$$' ./cmd/sitedrift $(if $(ARGS),-args $(ARGS))

.PHONY: fuzz
fuzz: ## Fuzz each target for FUZZTIME (20s)
	@FUZZTIME=$(FUZZTIME) bash tools/fuzz.sh

.PHONY: sbom
sbom: ## Build both binaries of what is committed into dist/, each with its bill of materials (CycloneDX)
	@bash tools/sbom.sh dist

.PHONY: demo
demo: bin/sitedrift ## Watch simulated sites for a few scripted weeks; ARGS=--exit ends after the report
	@bin/sitedrift engine install && exec bin/sitedrift demo $(ARGS)

.PHONY: docker
docker: ## Build the server image sitedrift:dev
	@docker build -t sitedrift:dev .

.PHONY: clean
clean: ## Remove what make built
	@rm -rf bin dist
