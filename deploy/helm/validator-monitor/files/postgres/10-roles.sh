#!/usr/bin/env bash
# The roles of the database rollup. The image runs this once, after it has made the data, as the superuser.
#
# validator-rollup owns the database and is no superuser; who reads for Grafana may read the views, which is what
# validator_rollup_reader is granted by the migrations. psql reads the passwords from their files, so they stand in no
# file of SQL and no command line; nor are they logged.
set -euo pipefail

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\set rollup_password `cat "$ROLLUP_PASSWORD_FILE"`
\set reader_password `cat "$ROLLUP_READER_PASSWORD_FILE"`
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
SET password_encryption = 'scram-sha-256';
BEGIN;
CREATE ROLE rollup LOGIN PASSWORD :'rollup_password';
CREATE ROLE validator_rollup_reader NOLOGIN;
CREATE ROLE grafana LOGIN PASSWORD :'reader_password' CONNECTION LIMIT 10 IN ROLE validator_rollup_reader;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '60s';
SELECT current_database() AS database \gset
ALTER DATABASE :"database" OWNER TO rollup;
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO validator_rollup_reader;
COMMIT;
SQL
