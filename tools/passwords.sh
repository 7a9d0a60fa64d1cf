#!/bin/sh
# The accounts at the broker for programs outside the box, of the containers and of `make run`,
# whichever there is; with an account's name that one gets a new password first.
#
#   passwords.sh [ACCOUNT]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
state=${NXAI_RUN_DIR:-.run}
account=${1:-}
found=

compose() {
    if docker compose version > /dev/null 2>&1; then docker compose "$@"; else docker-compose "$@"; fi
}

if [ -d "$state/mosquitto/secrets/viewer" ]; then
    found=yes
    if [ -n "$account" ]; then deploy/mosquitto/accounts.sh "$state/mosquitto" rotate "$account" > /dev/null; fi
    echo "make run ($state):"
    deploy/mosquitto/accounts.sh "$state/mosquitto" show
fi
if docker info > /dev/null 2>&1 && [ -n "$(compose ps -q mosquitto 2> /dev/null)" ]; then
    found=yes
    if [ -n "$account" ]; then compose exec -T mosquitto passwords rotate "$account" > /dev/null; fi
    echo "containers:"
    compose exec -T mosquitto passwords
fi
if [ -z "$found" ]; then
    echo "There is no broker yet: its first start makes the accounts (make run, docker compose up)." >&2
    exit 1
fi
