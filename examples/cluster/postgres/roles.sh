#!/bin/sh
# Runs once, on the first primary: creates the roles and the database, and makes commits wait for
# one standby from the next start on. ALTER SYSTEM comes last: nothing could be committed after it.
# SECRETS is the folder with the passwords.
set -eu
psql --no-psqlrc --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" --dbname=postgres \
	--set=replication="$(cat "$SECRETS/replication")" --set=moneyer="$(cat "$SECRETS/moneyer")" <<'SQL'
CREATE ROLE replication LOGIN REPLICATION PASSWORD :'replication';
CREATE ROLE moneyer LOGIN PASSWORD :'moneyer';
GRANT pg_monitor TO moneyer; -- lets 'moneyer store check' see the standbys
GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), pg_read_binary_file(text),
	pg_read_binary_file(text, bigint, bigint, boolean) TO replication; -- for pg_rewind
CREATE DATABASE moneyer OWNER moneyer ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE moneyer FROM PUBLIC;
ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (db1, db2, db3)';
SQL
