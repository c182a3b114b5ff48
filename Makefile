# Duebell. `make help` lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PORT  ?= 8080
# Inputs for each fuzz target. Given a time instead, go test now and then calls the end of that time a failure.
FUZZTIME ?= 10000x
N     ?= 5000
SEED  ?= 0
PLATFORMS ?= linux/amd64
REPO  ?=
RUN   ?=
CLUSTER ?=
TOOL  := go tool -modfile=tools/go.mod
# Without tables for a debugger (-w) a test binary links in three quarters of the time; traces of stacks are whole.
TESTS := $(TOOL) gotestsum --format pkgname --hide-summary=skipped -- -ldflags=-w
WEB   := functions/console/web

.DEFAULT_GOAL := help

.PHONY: run
run: build ## Run the whole system here, and show a reminder arriving (PORT=8080)
	@PORT=$(PORT) exec build/bin/duebell up

.PHONY: build
build: ## Build the functions and the duebell program into build/bin
	@if ! node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || a == 20 && b >= 19 ? 0 : 1)' 2>/dev/null || ! npm --version >/dev/null 2>&1; then \
		echo "The console is left out: it needs Node 20.19 or later with npm, from https://nodejs.org or your system's packages. Then make run has it."; \
	elif ! $(MAKE) --no-print-directory console; then echo "The console is left out, or is that of before: npm says above why."; fi
	@echo "Building the functions ..."
	@mkdir -p build/bin
	@go build -o build/bin/ ./cmd/... ./functions/...

.PHONY: console
console: $(WEB)/dist/index.html ## Build the console's web part, if it has changed (needs Node 20.19 and npm)

$(WEB)/dist/index.html: $(WEB)/node_modules/.package-lock.json $(shell find $(WEB) \( -name node_modules -o -name dist -o -name test \) -prune -o -type f -print)
	@echo "Building the console ..."
	@npm run build --prefix $(WEB) --silent

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json
	@npm ci --prefix $(WEB) --silent
	@touch $@

.PHONY: console-test
console-test: build console ## Test the console in a real Chromium, on the whole system (apt-get install chromium)
	@go run ./cmd/duebell runtime
	@cd $(WEB) && node --test --test-concurrency=1 test/unit/*.test.js test/browser/*.test.js

.PHONY: pictures
pictures: build ## Make the README's pictures of the console anew (apt-get install chromium)
	@cd $(WEB) && node test/browser/pictures.js

.PHONY: test
test: ## Run all tests: rules, store on real Postgres, end to end on real Dapr, the console in Chromium (needs Node 20.19 and npm, too)
	@npm ci --prefix tools/peers --silent
	@go run ./cmd/duebell runtime
# What takes longest begins first, so that nobody waits for it alone at the end. Tests wait more than
# they compute, so there are twice as many packages at a time as processors.
	@$(TESTS) -count=1 -timeout 30m -p $$((2 * $$(getconf _NPROCESSORS_ONLN))) ./e2e ./shared/life ./e2e/chaos ./...
	@$(MAKE) --no-print-directory manifests-check images-check console-test fuzz

.PHONY: test-short
test-short: ## Run the tests that need neither Postgres nor Dapr
	@$(TESTS) -short ./...

.PHONY: manifests-check
manifests-check: ## Hold the manifests against Kubernetes, Knative, Dapr, Prometheus, the functions and the pages
	@cd tools/manifests && go run . ../.. && go test -count=1 .
	@go -C tools/monitoring test -count=1 .
	@go -C tools/cluster test -count=1 .

.PHONY: images
images: console ## Build all images without Docker, into build/images (REPO=registry/path publishes them)
	@go -C tools/images build -o ../../build/bin/images .
	@build/bin/images -platforms $(PLATFORMS) -repo "$(REPO)"

.PHONY: images-check
images-check: ## Build an image twice, publish it, and look into it
	@go -C tools/images test -count=1 .

.PHONY: release
release: console ## Make the archives, SBOMs and checksums of this commit, into build/release, and all images
	@go -C tools/release build -o ../../build/bin/release .
	@build/bin/release
	@$(MAKE) --no-print-directory images PLATFORMS=linux/amd64,linux/arm64

.PHONY: release-check
release-check: ## Make a small release twice, look into it, and hold the licences against what is allowed
	@go -C tools/release test -count=1 ./...

.PHONY: licences
licences: ## List in docs/licences.md what is linked into the programs
	@go -C tools/release run . -root ../.. -licences

.PHONY: fuzz
fuzz: ## Feed each decoder of outside input with made-up input (FUZZTIME=10000x: as many inputs each, or 1m)
	@mkdir -p build
	@grep -rnoE --include='*_test.go' '^func Fuzz[A-Za-z]+' . | sed -E 's|^(.*)/[^/]*:func (.*)|\1 \2|' | sort -u | while read -r package target; do \
		echo "Fuzzing $$package $$target: $(FUZZTIME)"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package >build/fuzz.log 2>&1 || { cat build/fuzz.log; exit 1; }; \
	done

.PHONY: cluster
cluster: ## Run a real Kubernetes with Knative and Dapr here, and Duebell on it (root on Linux; the first time takes 40 minutes)
	@if [ -n "$(CLUSTER)" ]; then echo "CLUSTER=$(CLUSTER) is not supported yet: nobody has tried Duebell on kind. Leave it out, or follow docs/deploy.md on a cluster of yours." >&2; exit 2; fi
	@CGO_ENABLED=0 go -C tools/cluster build -o ../../build/bin/cluster .
	@exec build/bin/cluster up

.PHONY: cluster-test
cluster-test: ## Check the cluster that runs, or one that is started for it (RUN=a name's part)
	@CGO_ENABLED=0 go -C tools/cluster build -o ../../build/bin/cluster .
	@exec build/bin/cluster test -run "$(RUN)"

.PHONY: chaos
chaos: ## Break everything at random under load, and see that nothing is lost or twice (N=5000 SEED=any)
	@go run ./cmd/duebell runtime
	@go run ./e2e/chaos -n $(N) -seed $(SEED)

.PHONY: bench
bench: build ## Measure Duebell beside Dapr alone, River and the plain loop (BENCH=quick: within 3 minutes)
	@go run ./cmd/duebell runtime
	@cd tools/bench && go build -o ../../build/bench .
	@build/bench

.PHONY: tzdata
tzdata: ## Bring the newest time zones that Debian's package has into shared/zone (apt-get update first; needs zic)
	@rm -rf build/tzdata && mkdir -p build/tzdata
	@cd build/tzdata && apt-get download -qq tzdata && dpkg-deb -x tzdata_*.deb package && PATH=$$PATH:/usr/sbin zic -b slim -d zones package/usr/share/zoneinfo/tzdata.zi
	@cd build/tzdata && release=$$(sed -n '1s/^# version //p' package/usr/share/zoneinfo/tzdata.zi) && go run ../../tools/tzdata/main.go "$$release" zones ../../shared/zone/zones.zip
	@go test -count=1 ./shared/zone

.PHONY: lint
lint: ## Look for mistakes, and for code that is not formatted
	@lint=$$($(TOOL) -n golangci-lint); for module in . tools/manifests tools/images tools/release tools/monitoring tools/bench tools/cluster; do (cd $$module && $$lint run ./...); done

.PHONY: fmt
fmt: ## Format the code
	@$(TOOL) golangci-lint fmt ./...

.PHONY: clean
clean: ## Remove what was built, and the local system's data
	@rm -rf build .duebell $(WEB)/dist $(WEB)/node_modules

.PHONY: help
help: ## Show this
	@echo "Duebell: tells people at the exact moment. Targets:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
