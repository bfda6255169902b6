#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME (default 60s), one after the other.
set -uo pipefail
cd "$(dirname "$0")" || exit 1

failed=() count=0
while IFS=: read -r file _ line; do
  target=$(sed -E 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/' <<<"$line")
  package=$(dirname "$file")
  echo "$package $target ..."
  go test -C "$package" . -run='^$' -fuzz="^$target\$" -fuzztime="${FUZZTIME:-60s}" >/tmp/fuzz.$$ 2>&1 || {
    tail -n 30 /tmp/fuzz.$$
    failed+=("$package $target")
  }
  count=$((count + 1))
done < <(git grep -n '^func Fuzz' -- '*_test.go')
rm -f /tmp/fuzz.$$

if [ "${#failed[@]}" -gt 0 ]; then
  printf 'red: %s\n' "${failed[@]}"
  exit 1
fi
echo "green: $count targets, ${FUZZTIME:-60s} each"
