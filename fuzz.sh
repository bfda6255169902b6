#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME (default 60s), one after the other. Red means that an input
# fails, and shows it.
set -uo pipefail
cd "$(dirname "$0")" || exit 1

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# inputs lists the failing inputs of a target that are saved in its package.
inputs() { ls "$1/testdata/fuzz/$2" 2>/dev/null; }

# only_deadline reports whether a run failed by the end of its time alone, without an input: the
# go command then sometimes reports its own deadline as a failure of the target.
only_deadline() {
  grep -qx ' *context deadline exceeded' "$log" &&
    ! grep -qvxE 'fuzz: elapsed: .*|--- FAIL: Fuzz[A-Za-z0-9_]* \([0-9.]+s\)| *context deadline exceeded|FAIL|FAIL[[:space:]].*|exit status 1|' "$log"
}

failed=() count=0
while IFS=: read -r file _ line; do
  target=$(sed -E 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/' <<<"$line")
  package=$(dirname "$file")
  echo "$package $target ..."
  before=$(inputs "$package" "$target")
  if ! go test -C "$package" . -run='^$' -fuzz="^$target\$" -fuzztime="${FUZZTIME:-60s}" >"$log" 2>&1 &&
    ! { only_deadline && [ "$(inputs "$package" "$target")" = "$before" ]; }; then
    tail -n 30 "$log"
    failed+=("$package $target")
  fi
  count=$((count + 1))
done < <(git grep -n '^func Fuzz' -- '*_test.go')

if [ "${#failed[@]}" -gt 0 ]; then
  printf 'red: %s\n' "${failed[@]}"
  exit 1
fi
echo "green: $count targets, ${FUZZTIME:-60s} each"
