#!/usr/bin/env bash
# The tests that need a broker or a database, against those in containers (testcontainers), where
# `make test` takes the system's own. Run it as `make container-tests`.
set -euo pipefail
cd "$(dirname "$0")/../.."

tools/docker/images.sh mosquitto
export DOCKER_BUILDKIT=0 NXAI_TEST_MOSQUITTO_IMAGE=nxai-mosquitto
if [ -z "${NXAI_TEST_POSTGRES_IMAGE:-}" ]; then
    export NXAI_TEST_POSTGRES_IMAGE=nxai-test-postgres
    docker build --quiet --network host --build-arg BASE_IMAGE="${BASE_IMAGE:-nxai-base:bookworm}" \
        -t "$NXAI_TEST_POSTGRES_IMAGE" -f tests/support/postgres.Dockerfile . > /dev/null 2>&1
fi
# Those with a broker or a database; left out are some that change the broker's own files, which lie
# elsewhere in a container.
mapfile -t files < <(grep -lE 'broker: Broker|postgres' tests/integration/{common,publisher}/test_*.py)
.venv/bin/python -W error -m pytest -q -k "not over_tls and not broker_refuses" \
    tests/contract/test_bus_promises.py "${files[@]}" "$@"
