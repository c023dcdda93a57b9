#!/bin/sh
# Make the two roles and the database, once, on a server's first start (docker-entrypoint-initdb.d), or by hand:
# the owner migrates, tank_app runs. Roles that exist are left as they are.
set -eu

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 \
    --set database="${TANK_DATABASE:-tank}" \
    --set owner="${TANK_OWNER:-tank_owner}" \
    --set owner_password="${TANK_OWNER_PASSWORD:?}" \
    --set app_password="${TANK_APP_PASSWORD:?}" \
    --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
SET client_min_messages = warning;
SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', :'owner', :'owner_password')
 WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = :'owner') \gexec
SELECT format('CREATE ROLE tank_app LOGIN PASSWORD %L', :'app_password')
 WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'tank_app') \gexec
GRANT tank_app TO :"owner";
SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'owner')
 WHERE NOT EXISTS (SELECT 1 FROM pg_database WHERE datname = :'database') \gexec
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO tank_app;
SQL
