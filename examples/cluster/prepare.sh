#!/bin/sh
# Creates passwords, a certificate authority, and a certificate for each database server, for
# the replicas and for HAProxy. It keeps existing files. Run it once, on the machine from
# which you distribute the files.
#
#   ./prepare.sh [NAME OF THE PUBLIC HOST]
set -eu
umask 077
cd "$(dirname "$0")"
host=${1:-auth.example.com}
mkdir -p secrets tls

for name in postgres replication moneyer; do
	[ -s secrets/$name ] || openssl rand -hex 24 > secrets/$name
done
# The replicas read the password from this file: see store in config/moneyer.toml.
printf '*:5432:moneyer:moneyer:%s\n' "$(cat secrets/moneyer)" > config/pgpass

if [ ! -s tls/ca.crt ]; then
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
		-keyout tls/ca.key -out tls/ca.crt -subj "/CN=Moneyer cluster"
fi

# certificate NAME HOST...
certificate() {
	name=$1
	shift
	[ -s "tls/$name.crt" ] && return
	names=$(printf ',DNS:%s' "$@")
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "tls/$name.key" -out "tls/$name.csr" -subj "/CN=$1"
	printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "${names#,}" |
		openssl x509 -req -in "tls/$name.csr" -CA tls/ca.crt -CAkey tls/ca.key -CAcreateserial -days 825 -extfile /dev/stdin -out "tls/$name.crt"
	rm "tls/$name.csr"
}

for db in db1 db2 db3; do
	certificate $db $db localhost
done
certificate replica moneyer1 moneyer2 moneyer3
# Replace this certificate by one that your clients trust.
certificate front "$host"
cat tls/front.crt tls/front.key > tls/front.pem

# Files that a replica reads in addition to moneyer.toml.
cp tls/ca.crt tls/replica.crt tls/replica.key config/
echo "secrets/, tls/ and config/ are ready. Keep tls/ca.key and secrets/ to yourself."
