#!/usr/bin/env bash
# Runs the Go micro-benchmarks of two commits alternately, so that noise affects both
# equally, and compares them with benchstat. NEW is the working tree unless a commit
# is given.
#
#   make bench-compare OLD=v1.2.0
#   make bench-compare OLD=HEAD~1 NEW=HEAD PACKAGES="./internal/jose" BENCH=Sign COUNT=10
set -euo pipefail
cd "$(dirname "$0")/.."

old=${1:?usage: make bench-compare OLD=commit [NEW=commit]}
new=${2:-}
bench=${BENCH:-.}
count=${COUNT:-6}
time=${BENCHTIME:-0.3s}

work=$(mktemp -d)
cleanup() {
  for side in old new; do
    [ ! -e "$work/$side/.git" ] || git worktree remove --force "$work/$side"
  done
  rm -rf "$work"
}
trap cleanup EXIT

# tree SIDE COMMIT: check a commit out beside this tree.
tree() { git worktree add --quiet --detach "$work/$1" "$2"; }

tree old "$old"
if [ -n "$new" ]; then
  tree new "$new"
  new_tree=$work/new
else
  new_tree=$PWD
fi

# with_benchmarks TREE: the packages with benchmarks, of every module.
with_benchmarks() {
  (cd "$1" && git grep -l --untracked '^func Benchmark' -- '*_test.go' | xargs -n1 dirname | sort -u | sed 's|^|./|')
}
packages=${PACKAGES:-$(comm -12 <(with_benchmarks "$work/old") <(with_benchmarks "$new_tree"))}

echo "building benchstat and the benchmarks ..." >&2
mkdir -p bin
go build -C tools -o ../bin/benchstat golang.org/x/perf/cmd/benchstat
for package in $packages; do
  name=${package//[.\/]/_}
  go test -C "$work/old/$package" -c -o "$work/old$name.test" .
  go test -C "$new_tree/$package" -c -o "$work/new$name.test" .
done

# run SIDE TREE PACKAGE: each benchmark once, in the package's own folder.
run() {
  (cd "$2/$3" && "$work/$1${3//[.\/]/_}.test" -test.run='^$' -test.bench="$bench" -test.benchmem -test.cpu=1 -test.benchtime="$time") >>"$work/$1.txt"
}

for ((i = 1; i <= count; i++)); do
  for package in $packages; do
    echo "[$i/$count] $package" >&2
    # Alternate the order.
    if ((i % 2)); then
      run old "$work/old" "$package"
      run new "$new_tree" "$package"
    else
      run new "$new_tree" "$package"
      run old "$work/old" "$package"
    fi
  done
done

bin/benchstat "old=$work/old.txt" "new=$work/new.txt"
