# Duebell. `make help` lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PORT  ?= 8080
FUZZTIME ?= 3s
N     ?= 5000
SEED  ?= 0
TOOL  := go tool -modfile=tools/go.mod
TESTS := $(TOOL) gotestsum --format pkgname --hide-summary=skipped --

.DEFAULT_GOAL := help

.PHONY: run
run: build ## Run the whole system here, and show a reminder arriving (PORT=8080)
	@PORT=$(PORT) exec build/bin/duebell up

.PHONY: build
build: ## Build the functions and the duebell program into build/bin
	@echo "Building the functions ..."
	@mkdir -p build/bin
	@go build -o build/bin/ ./cmd/... ./functions/...

.PHONY: test
test: ## Run all tests: rules, store on real Postgres, end to end on real Dapr
	@go run ./cmd/duebell runtime
	@$(TESTS) -count=1 ./...
	@$(MAKE) --no-print-directory fuzz

.PHONY: test-short
test-short: ## Run the tests that need neither Postgres nor Dapr
	@$(TESTS) -short ./...

.PHONY: fuzz
fuzz: ## Feed each decoder of outside input with made-up input (FUZZTIME=3s each)
	@mkdir -p build
	@grep -rnoE --include='*_test.go' '^func Fuzz[A-Za-z]+' . | sed -E 's|^(.*)/[^/]*:func (.*)|\1 \2|' | sort -u | while read -r package target; do \
		echo "Fuzzing $$package $$target for $(FUZZTIME)"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package >build/fuzz.log 2>&1 || { cat build/fuzz.log; exit 1; }; \
	done

.PHONY: chaos
chaos: ## Break everything at random under load, and see that nothing is lost or twice (N=5000 SEED=any)
	@go run ./cmd/duebell runtime
	@go run ./e2e/chaos -n $(N) -seed $(SEED)

.PHONY: bench
bench: build ## Measure Duebell beside Dapr alone, River and the plain loop (BENCH=quick: within 3 minutes)
	@go run ./cmd/duebell runtime
	@cd tools/bench && go build -o ../../build/bench .
	@build/bench

.PHONY: lint
lint: ## Look for mistakes, and for code that is not formatted
	@$(TOOL) golangci-lint run ./...
	@cd tools/bench && go tool -modfile=../go.mod golangci-lint run ./...

.PHONY: fmt
fmt: ## Format the code
	@$(TOOL) golangci-lint fmt ./...

.PHONY: clean
clean: ## Remove what was built, and the local system's data
	@rm -rf build .duebell

.PHONY: help
help: ## Show this
	@echo "Duebell: tells people at the exact moment. Targets:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
