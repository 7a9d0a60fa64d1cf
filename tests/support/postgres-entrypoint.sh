#!/bin/sh
# A database cluster for POSTGRES_USER at the first start, then the server.
set -eu
programs=$(dirname "$(ls -d /usr/lib/postgresql/*/bin/postgres)")
data=/var/lib/postgresql/data
if [ ! -s "$data/PG_VERSION" ]; then
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE"); fi
    (umask 077 && printf '%s' "$POSTGRES_PASSWORD" > /tmp/password)
    "$programs/initdb" --pgdata "$data" --username "$POSTGRES_USER" --pwfile /tmp/password \
        --auth scram-sha-256 --encoding UTF8 --locale C.UTF-8 > /dev/null
    rm /tmp/password
    echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
    if [ -n "${POSTGRES_DB:-}" ]; then
        echo "CREATE DATABASE $POSTGRES_DB" | "$programs/postgres" --single -D "$data" postgres > /dev/null
    fi
fi
exec "$programs/postgres" -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp
