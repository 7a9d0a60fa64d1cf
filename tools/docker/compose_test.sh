#!/usr/bin/env bash
# Brings docker-compose.yml up for real and waits until a client outside sees detections of the
# demo camera; then takes everything down. Run it as `make compose-test`.
set -euo pipefail
cd "$(dirname "$0")/../.."

"$(dirname "$0")/images.sh"

compose=(docker-compose)
if docker compose version > /dev/null 2>&1; then compose=(docker compose); fi
export COMPOSE_PROJECT_NAME=nxai-test
free_port() { PYTHONPATH=tests .venv/bin/python -c 'from support.broker import free_port; print(free_port())'; }
MQTT_PORT=$(free_port) PAGE_PORT=$(free_port) PAGE_HTTPS_PORT=$(free_port)
export MQTT_PORT PAGE_PORT PAGE_HTTPS_PORT HTTPS_PORT=8443
secrets=$(mktemp -d)

down() {
    local status=$?
    if [ $status != 0 ]; then
        "${compose[@]}" ps || true
        "${compose[@]}" logs --no-color --tail 40 || true
    fi
    "${compose[@]}" down --volumes --timeout 20 > /dev/null 2>&1 || true
    rm -rf "$secrets"
    exit $status
}
trap down EXIT
trap 'exit 130' INT TERM

"${compose[@]}" down --volumes > /dev/null 2>&1 || true # of a run that was cut off
started=$SECONDS
"${compose[@]}" up --detach --no-build > /dev/null 2>&1
"${compose[@]}" exec -T mosquitto cat /mosquitto/secrets/viewer/password > "$secrets/password"

echo "compose is up after $((SECONDS - started)) s; what a client outside sees:"
NXAI_BROKER=mqtt://127.0.0.1:$MQTT_PORT NXAI_BROKER_USERNAME=viewer \
    NXAI_BROKER_PASSWORD_FILE=$secrets/password \
    timeout 180 .venv/bin/python tools/watch.py --lines 5 --found | tee "$secrets/lines"
[ "$(wc -l < "$secrets/lines")" -ge 5 ]
echo "detections after $((SECONDS - started)) s"

# Every container says of itself that it is healthy, and none had to be started again.
for service in mosquitto capture inference publisher manager cloud-sync; do
    container=$("${compose[@]}" ps -q "$service")
    for attempt in $(seq 180); do
        health=$(docker inspect -f '{{.State.Health.Status}}' "$container")
        if [ "$health" = healthy ]; then break; fi
        if [ "$attempt" = 180 ]; then
            echo "$service is $health, not healthy" >&2
            exit 1
        fi
        sleep 1
    done
    restarts=$(docker inspect -f '{{.RestartCount}}' "$container")
    if [ "$restarts" != 0 ]; then
        echo "$service was started again $restarts times" >&2
        exit 1
    fi
done
echo "all containers are healthy"

.venv/bin/python tools/docker/page_test.py "$PAGE_PORT" "$PAGE_HTTPS_PORT"

# cloud-sync and inference share the catalogue: a model that is imported is tested over there.
docker cp models/demo-parts/model.onnx "$("${compose[@]}" ps -q cloud-sync)":/tmp/model.onnx
ask() { "${compose[@]}" exec -T cloud-sync nxai-cloud-sync "$@"; }
ask import /tmp/model.onnx --model copy --labels bolt,nut,washer
ask deploy copy --camera demo
for attempt in $(seq 60); do
    if ask models | grep -q "copy .* in force on demo"; then break; fi
    if [ "$attempt" = 60 ]; then
        ask models
        exit 1
    fi
    sleep 1
done
echo "an imported model runs"
