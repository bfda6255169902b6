#!/usr/bin/env bash
# Passes every test of every module, those with other people's clients and
# verifiers included (interop/), and installs what they need: on Debian and its kin
# by apt-get, as root or by sudo, and by npm below interop/node. Elsewhere it names
# what is missing, runs the rest, and fails, so that nobody takes a part for the
# whole.
#
#   ./test.sh                    every test
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

mode=${1:-all}
started=$SECONDS
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

failed=()
export MONEYER_REQUIRE_ALL=1
if [ "${#missing[@]}" -gt 0 ]; then
  say "Missing: ${missing[*]}. The tests that need them are left out."
  MONEYER_REQUIRE_ALL=0
  failed+=("only a part was tested, for this is missing: ${missing[*]}")
fi

say "go vet ./..., in every module"
./modules.sh go vet ./... || failed+=("go vet ./...")
say "go test -race -shuffle=on ./..., in every module"
./modules.sh go test -race -shuffle=on -timeout=12m ./... || failed+=("go test ./...")
if has_libcrypto; then
  say "go test -race -tags openssl, where keys sign and tokens are verified"
  go vet -tags openssl ./internal/openssl &&
    CGO_ENABLED=1 go test -race -shuffle=on -tags openssl ./internal/openssl ./internal/jose ./bearer ./internal/authority &&
    CGO_ENABLED=1 go test -C interop -race -shuffle=on -tags openssl ./differential &&
    CGO_ENABLED=1 go test -tags openssl -run Memory ./internal/openssl ||
    failed+=("go test -tags openssl")
fi

took="$((SECONDS - started)) s"
if [ "${#failed[@]}" -gt 0 ]; then
  printf '%sred after %s:%s\n' "$red$bold" "$took" "$plain"
  printf '  %s\n' "${failed[@]}"
  exit 1
fi
say "${green}green: go vet, and every test of every module with the race detector and every counterpart there ($took)"
