#!/usr/bin/env bash
# Checks form and habits in every module: gofmt, go mod tidy, go vet, golangci-lint
# at the version that tools/ pins, and govulncheck where its database can be reached.
set -uo pipefail
cd "$(dirname "$0")" || exit 1

failed=()
unformatted=$(git ls-files '*.go' | xargs gofmt -l)
[ -z "$unformatted" ] || failed+=("gofmt: $unformatted")
./modules.sh go mod tidy -diff || failed+=("go.mod: ./modules.sh go mod tidy")
./modules.sh go vet ./... || failed+=("go vet")

echo "golangci-lint (the first time it is built, which takes some minutes) ..."
mkdir -p bin
if go build -C tools -o ../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint; then
  ./modules.sh "$PWD/bin/golangci-lint" run || failed+=("golangci-lint")
  if echo '#include <openssl/evp.h>' | gcc -E - >/dev/null 2>&1; then
    CGO_ENABLED=1 bin/golangci-lint run --build-tags openssl ./internal/openssl ./internal/jose || failed+=("golangci-lint --build-tags openssl")
  fi
else
  failed+=("golangci-lint could not be built")
fi

echo "govulncheck ..."
report=$(go build -C tools -o ../bin/govulncheck golang.org/x/vuln/cmd/govulncheck && ./modules.sh "$PWD/bin/govulncheck" ./... 2>&1)
case $? in
0) ;;
3) printf '%s\n' "$report"; failed+=("govulncheck") ;;
*) echo "  left out: its database cannot be reached from here" ;;
esac

if [ "${#failed[@]}" -gt 0 ]; then
  printf 'red: %s\n' "${failed[@]}"
  exit 1
fi
echo "green: nothing to complain about"
