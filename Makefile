# Two commands do everything: `make run` tries Moneyer, `make test` passes every
# test. Both install what they need, or say what is missing.
SHELL := /bin/bash
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
BUILD := CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
# Resolving names and users stays Go's, as in the static binary.
BUILD_OPENSSL := $(subst CGO_ENABLED=0,CGO_ENABLED=1,$(BUILD)) -tags openssl,netgo,osusergo

.PHONY: run build build-openssl test lint fuzz bench clean

run: build ## build and start the sandbox: every platform on loopback
	@echo "Starting the sandbox; its folder is sandbox/ ..."
	@bin/moneyer sandbox

build: ## build bin/moneyer, one static binary
	@echo "Building bin/moneyer ..."
	@$(BUILD) -o bin/moneyer ./cmd/moneyer

build-openssl: ## build bin/moneyer-openssl, which signs with the OpenSSL installed here
	@echo "Building bin/moneyer-openssl ..."
	@$(BUILD_OPENSSL) -o bin/moneyer-openssl ./cmd/moneyer

test: ## install what the tests need, then pass every test
	@./test.sh

lint: ## gofmt, go vet, golangci-lint and govulncheck
	@./lint.sh

fuzz: ## run every fuzz target for FUZZTIME (60s)
	@./fuzz.sh

bench: ## measure a token request beside what it must at least cost
	go test ./internal/server -run='^$$' -bench='Ceiling|Request' -cpu=1 -count=5

clean: ## remove what was built; the sandbox folder stays
	rm -rf bin coverage.out
