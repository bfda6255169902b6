#!/bin/sh
# Starts a server in PostgreSQL's image: installs its key, which it must own, and creates a
# standby if there is no data yet. NAME is the server's name, PRIMARY that of the primary.
set -eu
tls=/var/lib/postgresql/tls
install -d -o postgres -g postgres -m 700 $tls
install -o postgres -g postgres -m 600 "/tls/$NAME.key" $tls/server.key
install -o postgres -g postgres -m 644 "/tls/$NAME.crt" $tls/server.crt
install -o postgres -g postgres -m 644 /tls/ca.crt $tls/ca.crt
install -o postgres -g postgres -m 600 /run/secrets/replication /run/secrets/moneyer $tls/
export SECRETS=$tls # of roles.sh

if [ "$NAME" != "$PRIMARY" ]; then
	printf '*:*:*:replication:%s\n' "$(cat $tls/replication)" > $tls/pgpass
	chown postgres:postgres $tls/pgpass
	chmod 600 $tls/pgpass
	from="host=$PRIMARY user=replication sslmode=verify-full sslrootcert=$tls/ca.crt passfile=$tls/pgpass"
	if [ ! -s "$PGDATA/PG_VERSION" ]; then
		install -d -o postgres -g postgres -m 700 "$PGDATA"
		# Repeat until the primary has created its database.
		until gosu postgres pg_basebackup --pgdata="$PGDATA" --dbname="$from" --write-recovery-conf --checkpoint=fast; do
			sleep 1
		done
	fi
fi
exec docker-entrypoint.sh postgres -c config_file=/etc/moneyer-postgres/postgresql.conf -c hba_file=/etc/moneyer-postgres/pg_hba.conf -c "cluster_name=$NAME"
