#!/usr/bin/env bash
# Passes every test of every module, those with other people's clients and
# verifiers included (interop/), and installs what they need: on Debian and its kin
# by apt-get, as root or by sudo, and by npm below interop/node. Elsewhere it names
# what is missing, runs the rest, and fails, so that nobody takes a part for the
# whole.
#
#   ./test.sh                    every test, in under 12 minutes on 2 cores
#   ./test.sh counterparts       the slow programs of others (Java, Keycloak, newest Python
#                                libraries) and more repetitions, in under 20 minutes
#   ./test.sh cluster [pattern]  the long run of cluster/ alone, up to an hour
set -uo pipefail
cd "$(dirname "$0")" || exit 1

bold='' red='' green='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
fi
say() { printf '%s%s%s\n' "$bold" "$*" "$plain"; }

# Debian's own python: the python3-* packages belong to it, and to no other that
# may stand before it in PATH.
has_python() { /usr/bin/python3 -c "import $1" >/dev/null 2>&1; }

# has_libcrypto reports whether the build with OpenSSL finds it.
has_libcrypto() { echo '#include <openssl/evp.h>' | gcc -E - >/dev/null 2>&1; }

# has_postgres: Debian keeps the server out of PATH.
has_postgres() { compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; }

# has_java: the counterparts need a JDK of 17 or newer.
has_java() {
  local version
  version=$(javac -version 2>&1) && version=${version#javac } && [ "${version%%.*}" -ge 17 ]
}

PATH=$PATH:/usr/sbin # where Debian keeps haproxy, nginx and apache2

# find_missing lists the Debian packages of what is not there.
find_missing() {
  missing=()
  local command
  if [ "$mode" = cluster ]; then
    has_postgres || missing+=(postgresql)
    for command in haproxy patroni; do
      command -v "$command" >/dev/null || missing+=("$command")
    done
    command -v etcd >/dev/null || missing+=(etcd-server)
    return
  fi
  if [ "$mode" = counterparts ]; then
    has_java || missing+=(openjdk-17-jdk-headless)
    command -v mvn >/dev/null || missing+=(maven)
    /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
  fi
  for command in gcc openssl curl haproxy nginx caddy npm; do
    command -v "$command" >/dev/null || missing+=("$command")
  done
  command -v node >/dev/null || missing+=(nodejs)
  [ -e /usr/include/stdlib.h ] || [ "$(uname)" != Linux ] || missing+=(libc6-dev) # for the race detector
  has_libcrypto || missing+=(libssl-dev)
  has_postgres || missing+=(postgresql)
  command -v apache2 >/dev/null || missing+=(apache2-bin) # apache2 itself is the service
  [ -e /usr/lib/apache2/modules/mod_auth_openidc.so ] || missing+=(libapache2-mod-auth-openidc)
  has_python jwcrypto || missing+=(python3-jwcrypto)
  has_python authlib || missing+=(python3-authlib)
  has_python requests || missing+=(python3-requests)
  has_python yaml || missing+=(python3-yaml)
}

# without_services runs a command that installs, and lets it start no server: what
# the tests want of nginx, HAProxy, Caddy and PostgreSQL is the program. Debian asks policy-rc.d
# before a package starts its service; a policy that is there already stays. The
# services of what is installed here are switched off for the next boot, too.
without_services() (
  local policy=/usr/sbin/policy-rc.d server
  if [ ! -e "$policy" ]; then
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
  fi
  "$@" || exit
  for server in nginx haproxy caddy postgresql patroni etcd; do
    case " ${missing[*]/etcd-server/etcd} " in *" $server "*)
      if command -v systemctl >/dev/null; then
        "${as_root[@]}" systemctl disable --now "$server"
      else
        "${as_root[@]}" update-rc.d "$server" disable
      fi || true ;;
    esac
  done
)

install_missing() {
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null || ! { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
      say "Not root, and no sudo: nothing can be installed."
      return
    fi
    as_root=(sudo)
  fi
  say "Installing ${missing[*]} ..."
  local log
  log=$(mktemp)
  if ! { "${as_root[@]}" apt-get update -q &&
    without_services "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log"
    say "apt-get could not install everything."
  fi
  rm -f "$log"
}

# install_node installs the Node packages when the lock file has changed.
install_node() {
  local stamp=interop/node/node_modules/.installed-lock.json
  command -v npm >/dev/null || return
  cmp -s interop/node/package-lock.json "$stamp" && return
  say "Installing the Node packages of interop/node ..."
  if (cd interop/node && npm ci --no-audit --no-fund --loglevel=error); then
    cp interop/node/package-lock.json "$stamp"
  else
    missing+=("the Node packages of interop/node")
  fi
}

# install_java compiles the Java counterparts; Maven downloads what they need, and Keycloak.
install_java() {
  command -v mvn >/dev/null || return
  say "Compiling interop/java ..."
  mvn -B -q -f interop/java/pom.xml compile || missing+=("the packages of interop/java")
}

# install_python installs the newest Python libraries beside those of Debian when their list has changed.
install_python() {
  local venv=interop/python/venv
  cmp -s interop/python/requirements.txt "$venv/.installed-requirements.txt" && return
  say "Installing the Python packages of interop/python ..."
  if /usr/bin/python3 -m venv --clear "$venv" &&
    "$venv/bin/pip" install -q --disable-pip-version-check -r interop/python/requirements.txt; then
    cp interop/python/requirements.txt "$venv/.installed-requirements.txt"
  else
    missing+=("the Python packages of interop/python")
  fi
}

# use_memory puts the tests' files into memory, where syncing costs nothing, if there is room for
# them and programs there may be executed. What the go command builds stays on disk.
use_memory() {
  local room
  room=$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')
  [ "$(stat -f -c %T /dev/shm 2>/dev/null)" = tmpfs ] && [ "${room:-0}" -ge 4000000 ] || return
  memory=$(mktemp -d /dev/shm/moneyer-test-XXXXXX) || return
  trap 'rm -rf "$memory"' EXIT
  chmod 755 "$memory" # PostgreSQL is another user
  if cp "$(type -P true)" "$memory/true" && "$memory/true" 2>/dev/null; then
    export GOTMPDIR=${GOTMPDIR:-${TMPDIR:-/tmp}} TMPDIR=$memory
  fi
}

mode=${1:-all}
started=$SECONDS
# The race detector looks at every variable but those of SQLite, which is C translated to Go, and of
# the arithmetic below crypto/rsa and crypto/ed25519: instrumented they take most of the time, and none
# of their variables is shared. No generic function is in them: of a generic function the linker takes
# any package's copy, and one that is not instrumented would hide what others synchronize.
GOFLAGS=$(go env GOFLAGS 2>/dev/null)
for package in modernc.org/sqlite/lib crypto/internal/fips140/bigmod crypto/internal/fips140/edwards25519/...; do
  GOFLAGS+=" -gcflags=$package=-race=false"
done
export GOFLAGS="$GOFLAGS -gcflags=modernc.org/libc/...=-d=checkptr=0" # its pointers are C's
if ! command -v go >/dev/null; then
  say "${red}red: Go is missing; go.mod tells which version"
  exit 1
fi
find_missing
if [ "${#missing[@]}" -gt 0 ] && command -v apt-get >/dev/null; then
  install_missing
  find_missing
fi
if [ "$mode" = cluster ]; then
  [ "${#missing[@]}" -eq 0 ] || say "Missing: ${missing[*]}. The tests that need them fail."
  MONEYER_REQUIRE_ALL=1 exec go test -C cluster . -run="${2:-.}" -v -count=1 -timeout=90m -args -long
fi
install_node
if [ "$mode" = counterparts ]; then
  install_java
  install_python
fi

failed=()
export MONEYER_REQUIRE_ALL=1
if [ "${#missing[@]}" -gt 0 ]; then
  say "Missing: ${missing[*]}. The tests that need them are left out."
  MONEYER_REQUIRE_ALL=0
  failed+=("only a part was tested, for this is missing: ${missing[*]}")
fi

use_memory

# test_module vets every package of a module and runs its tests. Packages named in addition are started
# first.
test_module() { go test -C "$1" -race -vet=all -shuffle=on -timeout=12m "${@:2}" ./...; }

# test_others tests the other modules, beside the first, and is to be read when all have ended.
test_others() {
  local status=0 module
  for module in bench cluster interop; do
    test_module "$module" || status=1
  done
  return "$status"
}

# test_all passes every test.
test_all() {
  say "go vet and go test -race -shuffle=on ./..., in every module"
  local log
  log=$(mktemp)
  test_others >"$log" 2>&1 &
  test_module . ./internal/store ./cmd/moneyer || failed+=("go test ./...")
  wait "$!" || failed+=("go test ./... in bench, cluster or interop")
  cat "$log"
  rm -f "$log"
  has_libcrypto || return
  say "go test -race -tags openssl, where keys sign, tokens are verified and TLS is spoken"
  CGO_ENABLED=1 go test -race -vet=all -shuffle=on -tags openssl ./internal/openssl ./internal/jose ./internal/tlsfiles ./bearer &&
    CGO_ENABLED=1 go test -C interop -race -shuffle=on -tags openssl ./differential &&
    CGO_ENABLED=1 go test -tags openssl -run Memory ./internal/openssl ||
    failed+=("go test -tags openssl")
}

# test_counterparts passes what takes too long for each change.
test_counterparts() {
  say "the counterparts that are slow to start"
  MONEYER_COUNTERPARTS=1 go test -C interop -race -timeout=15m -v -run '^Test(Clients|Signers|Verifiers|CertificateClients)$/^(java|pypi)|^TestSlow' . ||
    failed+=("the counterparts")
  say "the benchmark's servers in Java"
  MONEYER_COUNTERPARTS=1 go test -C bench -timeout=15m -v -run '^TestTokens$/^(Keycloak|Spring)' ./peers ||
    failed+=("the benchmark's servers in Java")
  if has_libcrypto; then
    say "the rules, with keys that sign by OpenSSL"
    CGO_ENABLED=1 go test -race -tags openssl ./internal/authority || failed+=("go test -tags openssl ./internal/authority")
  fi
  say "more repetitions"
  go test -race -timeout=10m ./cmd/moneyer -run '^TestKill9$' -kill-rounds 40 || failed+=("TestKill9 with 40 rounds")
}

if [ "$mode" = counterparts ]; then
  test_counterparts
  passed="every counterpart that is slow, and every repetition"
else
  test_all
  passed="go vet, and every test of every module with the race detector and every counterpart there"
fi

took="$((SECONDS - started)) s"
if [ "${#failed[@]}" -gt 0 ]; then
  printf '%sred after %s:%s\n' "$red$bold" "$took" "$plain"
  printf '  %s\n' "${failed[@]}"
  exit 1
fi
say "${green}green: $passed ($took)"
