#!/usr/bin/env bash
# Brings docker-compose.yml up for real and tests it (tests/containers), then takes everything
# down: all of it with Compose v2, and what a newcomer sees with 1.29 once more. Run it as
# `make compose-test`. With NXAI_TEST_IMAGES=built nothing is built before.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "${NXAI_TEST_IMAGES:-}" != built ]; then
    tools/docker/images.sh
    tools/docker/images.sh emulator postgres prometheus
fi
export POSTGRES_IMAGE=nxai-test-postgres PROMETHEUS_IMAGE=nxai-test-prometheus
own=
if ! docker compose version > /dev/null 2>&1; then own=$(tools/docker/compose_v2.sh); fi

test_with() {
    env NXAI_TEST_COMPOSE="$1" ${2:+DOCKER_CONFIG="$2"} .venv/bin/python -W error -m pytest -q "${@:3}"
}

test_with v2 "$own" --durations 15 tests/containers "$@"
if [ $# = 0 ] && docker-compose version --short 2> /dev/null | grep -q '^1\.'; then
    test_with v1 "" tests/containers/test_at_first_start.py
fi
