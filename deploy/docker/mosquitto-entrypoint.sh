#!/bin/sh
# Accounts, certificate and configuration into the volumes below /mosquitto, then the broker.
set -eu
if [ $# -gt 0 ]; then exec "$@"; fi

for folder in /mosquitto /mosquitto/secrets/*/ /mosquitto/handed/*/; do
    if [ ! -w "$folder" ]; then
        cat >&2 << END
$folder belongs to another user than the broker's ($(id -u)): its volume was made by a version
whose broker began as root, or by hand. Give the volumes to the broker, once, and start the rest
(\`make upgrade\` does this, too):

    docker run --rm --user 0 --volumes-from $(hostname) --entrypoint chown \\
        nxai-mosquitto -R $(id -u):$(id -g) /mosquitto
    docker restart $(hostname)
    docker compose up --detach

END
        exit 1
    fi
done

# What the containers of the profile `observability` need between them. Several users read it: what
# keeps it is that no others have the volume.
for name in influxdb-token influxdb-password grafana-password; do
    secret=/mosquitto/handed/observability/$name
    if [ ! -s "$secret" ]; then
        head -c 24 /dev/urandom | base64 | tr '+/' '-_' > "$secret.new"
        chmod 444 "$secret.new"
        mv "$secret.new" "$secret"
    fi
done

# A listener for what .env asks for; the address is the container's.
export TLS_LISTENER="${MQTT_TLS:+8883}" WEBSOCKETS_LISTENER="${MQTT_WEBSOCKETS:+9001}"
export CERTIFICATE_FOLDER=/certificate TLS_NAMES="${MQTT_TLS_NAMES:-localhost}"
/opt/mosquitto/prepare.sh /mosquitto 1883 nxai 1884
exec mosquitto -c /mosquitto/mosquitto.conf
