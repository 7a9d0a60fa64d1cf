#!/bin/sh
# Starts the service of this image; what only containers need is done here.
set -eu

# Several containers of one service: each takes the first name that is free, `inference`,
# `inference-2` and so on, and holds it by a lock that ends with the process, however it ends. A
# name by the container's id would leave a status behind for every container there ever was.
if [ -n "${NAMES:-}" ]; then
    number=1
    while :; do
        exec 9> "$NAMES/$SERVICE-$number"
        if flock --nonblock 9; then break; fi
        number=$((number + 1))
    done
    NXAI_INSTANCE=$SERVICE
    if [ $number -gt 1 ]; then NXAI_INSTANCE=$SERVICE-$number; fi
    export NXAI_INSTANCE
fi

# The database's password is made by who needs it (profile `postgres`). Two users read it: what
# keeps it is that no third container has the volume.
password=${NXAI_PUBLISHER_DATABASE_PASSWORD_FILE:-}
if [ "$password" = /database/password ] && [ ! -s "$password" ]; then
    head -c 24 /dev/urandom | base64 | tr '+/' '-_' > "$password.new"
    chmod 444 "$password.new"
    mv "$password.new" "$password"
fi

exec "nxai-$SERVICE" "$@"
