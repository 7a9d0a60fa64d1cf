#!/usr/bin/env bash
# Passes every test, in two halves beside each other, because most of the time a test waits for a
# service; then says what of the code both together ran. Contracts, the bus and every core must be
# covered completely. Run it as `make coverage`.
set -uo pipefail
cd "$(dirname "$0")/.."

half() {
    COVERAGE_FILE=.coverage.$1 .venv/bin/python -W error -m coverage run -m pytest "${@:2}"
}

rm -f .coverage .coverage.*
half integration tests/integration > .pytest-integration.log 2>&1 &
other=$!
trap 'kill -INT $other 2> /dev/null; wait $other' EXIT
half rest tests --ignore=tests/integration --ignore=tests/benchmarks 2>&1 | tee .pytest-rest.log
failed=$?
wait $other || failed=1
trap - EXIT
cat .pytest-integration.log
.venv/bin/python -m coverage combine -q || failed=1
.venv/bin/python -m coverage report --skip-covered --fail-under=100 \
    --include='*/nxai_common/contracts/*,*/nxai_common/bus/*,*/core/*' || failed=1
# Once more, to be the last lines.
tail -qn 1 .pytest-rest.log .pytest-integration.log
exit $failed
