#!/usr/bin/env bash
# Runs once, when PostgreSQL's data volume is empty: the role that owns the tables, and its database. The roles that the
# application logs in as are made by `manage.py bootstrap`, here as on a managed PostgreSQL.
set -euo pipefail
psql --username "$POSTGRES_USER" --dbname postgres --set ON_ERROR_STOP=1 --set password="$OWNER_PASSWORD" <<'SQL'
CREATE ROLE millrace_owner LOGIN NOSUPERUSER NOBYPASSRLS CREATEDB CREATEROLE PASSWORD :'password';
CREATE DATABASE millrace OWNER millrace_owner;
SQL
