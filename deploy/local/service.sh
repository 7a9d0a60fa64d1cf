#!/bin/sh
# Starts one service of `make run` with its own account at the local broker (a broker of the
# user's own has the account that the NXAI_BROKER_... variables say).
set -eu
if [ -n "$EDGE_SECRETS" ]; then
    export NXAI_BROKER_USERNAME="$1"
    export NXAI_BROKER_PASSWORD_FILE="$EDGE_SECRETS/$1/password"
fi
exec "$EDGE_BIN/nxai-$1"
