#!/bin/sh
# Accounts and configuration into the volumes below /mosquitto, then the broker. It starts as root
# to give each service's password to the user of the services, and gives up root by itself.
set -eu
if [ $# -gt 0 ]; then exec "$@"; fi
/opt/mosquitto/prepare.sh /mosquitto 1883 mosquitto 10001
exec mosquitto -c /mosquitto/mosquitto.conf
