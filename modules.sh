#!/usr/bin/env bash
# Runs a command in every Go module that is Moneyer's own, one after the other, and
# ends with the greatest exit status of them.
#
#   ./modules.sh go vet ./...
#
# Left out are tools/, and bench/peers/, which holds other people's programs.
cd "$(dirname "$0")" || exit 1

status=0
for module in . bench cluster interop; do
  (cd "$module" && "$@")
  ended=$?
  [ "$ended" -le "$status" ] || status=$ended
done
exit "$status"
