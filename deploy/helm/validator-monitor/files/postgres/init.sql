-- Run once, by the superuser, when the volume is empty: who there is. Tables are made by validator-rollup.
-- psql reads passwords from files, so that they are in no argument, variable or log.
\set owner_password `cat /run/secrets/validator-monitor/postgres-password`
\set reader_password `cat /run/secrets/validator-monitor/rollup-reader-password`

-- The receiver: owns the database and nothing else.
CREATE ROLE rollup LOGIN PASSWORD :'owner_password';
ALTER DATABASE rollup OWNER TO rollup;

-- Grafana: reads the views and nothing else. validator-rollup lets validator_rollup_reader see them.
CREATE ROLE validator_rollup_reader NOLOGIN;
CREATE ROLE grafana LOGIN PASSWORD :'reader_password' IN ROLE validator_rollup_reader;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '60s';

-- Without a password nobody comes in as superuser but from within the pod.
ALTER ROLE postgres PASSWORD NULL;
