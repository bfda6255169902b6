# Two commands do everything: `make run` tries Moneyer, `make test` passes every
# test. Both install what they need, or say what is missing. `make help` lists the rest.
SHELL := /bin/bash
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
GO_BUILD := go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
BUILD := CGO_ENABLED=0 $(GO_BUILD)
# Resolving names and users stays Go's, as in the static binary.
BUILD_OPENSSL := CGO_ENABLED=1 $(GO_BUILD) -tags openssl,netgo,osusergo

.PHONY: run help build build-static cluster test test-counterparts test-cluster lint fuzz bench bench-quick bench-micro bench-compare clean

run: build ## build and start the sandbox: every platform on loopback
	@echo "Starting the sandbox; its folder is sandbox/ ..."
	@bin/moneyer sandbox

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "  %-18s %s\n", $$1, $$2 }'

build: ## build bin/moneyer, which signs with OpenSSL where a C compiler and its headers are found
	@if ./has-openssl.sh; then \
		echo "Building bin/moneyer, which signs with this machine's OpenSSL ..."; \
		$(BUILD_OPENSSL) -o bin/moneyer ./cmd/moneyer; \
	else \
		echo "Building bin/moneyer, which signs with Go: half as fast for RSA ..."; \
		$(BUILD) -o bin/moneyer ./cmd/moneyer; \
	fi

build-static: ## build bin/moneyer-static, one file for containers and other machines, which signs with Go
	@echo "Building bin/moneyer-static ..."
	@$(BUILD) -o bin/moneyer-static ./cmd/moneyer

cluster: build ## three replicas, PostgreSQL with two synchronous standbys, HAProxy, on loopback
	@go run -C cluster .

test: ## install what the tests need, then pass every test (under 12 minutes on 2 cores)
	@./test.sh

test-counterparts: ## Java clients, a real Keycloak, the newest Python libraries, more repetitions (under 20 minutes)
	@./test.sh counterparts

test-cluster: ## install what it needs, break the cluster for up to an hour, print what was measured: RUN=pattern
	@./test.sh cluster '$(or $(RUN),.)'

lint: ## gofmt, go vet, golangci-lint and govulncheck
	@./lint.sh

fuzz: ## run every fuzz target for FUZZTIME (60s)
	@./fuzz.sh

bench: ## measure Moneyer, its ceiling and other servers, write docs/benchmarks (half an hour)
	@go run -C bench . -out docs/benchmarks

bench-quick: ## measure Moneyer and its ceiling (under 2 minutes), write nothing
	@go run -C bench . -quick

BENCH ?= .
COUNT ?= 1
bench-micro: ## the Go micro-benchmarks, with allocations: BENCH=pattern COUNT=n
	@for package in $$(git grep -l '^func Benchmark' -- '*_test.go' | xargs -n1 dirname | sort -u); do \
		go test -C "$$package" -run='^$$' -bench='$(BENCH)' -benchmem -cpu=1 -count=$(COUNT) . || exit; done

bench-compare: ## the micro-benchmarks of two commits in turns, by benchstat: OLD=commit [NEW=commit]
	@BENCH='$(BENCH)' PACKAGES='$(PACKAGES)' ./bench/compare.sh '$(OLD)' '$(NEW)'

clean: ## remove what was built; the sandbox folder stays
	rm -rf bin coverage.out
