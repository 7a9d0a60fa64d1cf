#!/usr/bin/env bash
# Runs a command with a Docker engine: the one that answers here, or else one of our own for as
# long as the command runs (needs root and Debian's docker.io; data in the cache folder).
#
#   tools/docker/engine.sh COMMAND...
set -euo pipefail

if docker info > /dev/null 2>&1; then exec "$@"; fi
if ! command -v dockerd > /dev/null || [ "$(id -u)" != 0 ]; then
    echo "No Docker engine answers (docker info). Start it, or run this as root with Debian's" >&2
    echo "docker.io installed: then one is started just for this." >&2
    exit 1
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/nxai-edge
# A socket's path may have 107 characters, so not below the cache folder.
scratch=$(mktemp -d /tmp/nxai-docker-XXXXXX)
mkdir -p "$cache/docker"
exec 9> "$cache/docker.lock"
flock 9

# 9>&-: the lock is ours; the engine's own children must not keep it.
dockerd --data-root "$cache/docker" --exec-root "$scratch/exec" --pidfile "$scratch/pid" \
    --host "unix://$scratch/docker.sock" > "$scratch/log" 2>&1 9>&- &
engine=$!

stop() {
    kill "$engine" 2> /dev/null || true
    wait "$engine" 2> /dev/null || true
    rm -rf "$scratch" 2> /dev/null || true
}
trap stop EXIT
trap 'exit 130' INT TERM

export DOCKER_HOST=unix://$scratch/docker.sock
for attempt in $(seq 60); do
    if docker info > /dev/null 2>&1; then break; fi
    if ! kill -0 "$engine" 2> /dev/null || [ "$attempt" = 60 ]; then
        tail -20 "$scratch/log" >&2
        echo "The Docker engine did not start; its last words are above." >&2
        exit 1
    fi
    sleep 1
done
# 9>&-: a process that outlives us would hold the lock for ever.
"$@" 9>&-
