#!/usr/bin/env bash
# Installs the system packages that `make run`, `make test` or `make compose-test` needs and this
# machine lacks.
# Without root it says the one command to type instead.
#
#   packages.sh run|test|compose|home-assistant
set -euo pipefail

export DEBIAN_FRONTEND=noninteractive
# Debian keeps servers in /usr/sbin, which is not in everybody's PATH.
PATH=$PATH:/usr/sbin:/sbin
missing=()

command_of() { command -v "$1" > /dev/null || missing+=("$2"); }
package() { dpkg-query -W -f='${Status}' "$1" 2> /dev/null | grep -q "ok installed" || missing+=("$1"); }

# ensurepip is what Debian splits off python3; without it `python3 -m venv` fails.
python3 -c "import ensurepip, venv" 2> /dev/null || missing+=(python3-venv)
if [ -z "${NXAI_BROKER:-}" ]; then
    command_of mosquitto mosquitto
fi

if [ "$1" = test ]; then
    command_of mosquitto_sub mosquitto-clients
    command_of ffmpeg ffmpeg
    command_of openssl openssl
    package postgresql
    package faketime
    # They read the AsyncAPI document with the official parser, from npm.
    command_of node nodejs
    command_of npm npm
    # It scrapes the services, and checks its own files in deploy/prometheus.
    command_of promtool prometheus
    # The browser that looks at the page, and letters for it.
    command_of chromium chromium
    package fonts-noto-core
    # The RTSP server that plays the cameras in tests.
    for name in python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base \
        gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly \
        gstreamer1.0-libav; do
        package "$name"
    done
fi

# The Debian that Home Assistant runs in.
if [ "$1" = home-assistant ]; then
    command_of debootstrap debootstrap
fi

# A machine where an engine answers needs none of these; elsewhere root starts its own.
if [ "$1" = compose ]; then
    docker info > /dev/null 2>&1 || command_of dockerd docker.io
    command_of docker docker.io
    docker compose version > /dev/null 2>&1 || command_of docker-compose docker-compose
    command_of iptables iptables
    command_of debootstrap debootstrap
fi

if [ ${#missing[@]} = 0 ]; then exit 0; fi

mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
if ! command -v apt-get > /dev/null; then
    echo "Missing here: ${missing[*]} (names of Debian packages)." >&2
    echo "Install them with this system's package tool, then type the command again." >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "Missing here: ${missing[*]}. Type this once, then the same make again:" >&2
    echo >&2
    echo "    sudo apt-get update && sudo apt-get install -y ${missing[*]}" >&2
    echo >&2
    exit 1
fi
echo "Installing ${missing[*]} ..."
options=(-o Acquire::Retries=3 -o DPkg::Lock::Timeout=300) # other programs install things, too
apt-get "${options[@]}" update -qq
apt-get "${options[@]}" install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
