#!/usr/bin/env bash
# Brings docker-compose.yml up for real and tests it (tests/containers), then takes everything
# down. Run it as `make compose-test`. With NXAI_TEST_IMAGES=built nothing is built before.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "${NXAI_TEST_IMAGES:-}" != built ]; then
    tools/docker/images.sh
    tools/docker/images.sh emulator postgres prometheus
fi
export NXAI_TEST_COMPOSE=1 POSTGRES_IMAGE=nxai-test-postgres PROMETHEUS_IMAGE=nxai-test-prometheus
.venv/bin/python -W error -m pytest -q --durations 15 tests/containers "$@"
