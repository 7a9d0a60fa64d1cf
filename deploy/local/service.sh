#!/bin/sh
# Starts one process of `make run` with its own account at the local broker (a broker of the user's
# own has the account that the NXAI_BROKER_... variables say).
#
#   service.sh ACCOUNT COMMAND...
set -eu
account=$1
shift
if [ -n "$EDGE_SECRETS" ]; then
    export NXAI_BROKER_USERNAME="$account"
    export NXAI_BROKER_PASSWORD_FILE="$EDGE_SECRETS/$account/password"
fi

# Metrics: each service needs a port of its own; 9100 becomes 9100 to 9104, in this order.
if [ "${NXAI_METRICS_PORT:-0}" != 0 ]; then
    for service in capture inference publisher manager cloud-sync; do
        if [ "$service" = "$account" ]; then export NXAI_METRICS_PORT; break; fi
        NXAI_METRICS_PORT=$((NXAI_METRICS_PORT + 1))
    done
fi

# One that crashes soon after its start waits: supervisor would start it again each second.
if [ -n "${EDGE_STATE:-}" ]; then
    stamp=$EDGE_STATE/started-$(basename "$1")
    if [ -n "$(find "$stamp" -newermt '-10 seconds' 2> /dev/null)" ]; then sleep 3; fi
    touch "$stamp" 2> /dev/null || sleep 3 # a full or read-only disk keeps nobody from starting
fi
exec "$@"
