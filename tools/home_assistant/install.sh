#!/usr/bin/env bash
# Installs Home Assistant for the tests: a Debian of its own (Home Assistant needs a newer Python
# than Debian 12 has) with the packages from PyPI, kept in the cache folder. As root.
# Prints the folder.
#
#   install.sh
set -euo pipefail

HOME_ASSISTANT=2026.2.3
# What its parts that are used here would install while it runs.
PARTS=(cronsim==2.7 home-assistant-frontend==20260128.6 ifaddr==0.2.0 paho-mqtt==2.1.0
    psutil-home-assistant==0.0.1 zeroconf==0.148.0)
UV=0.9.26

PATH=$PATH:/usr/sbin:/sbin
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nxai-edge
root=$cache/home-assistant-$HOME_ASSISTANT
authorities=/etc/ssl/certs/ca-certificates.crt

inside() {
    # pip's and uv's own settings are those of this machine: they know where packages come from.
    chroot "$1" env HOME=/root PIP_CERT=$authorities SSL_CERT_FILE=$authorities "${@:2}"
}

install() {
    local new=$1
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv \
        trixie "$new" http://deb.debian.org/debian
    # This machine may trust more authorities than Debian's package brings.
    cp "$authorities" "$new$authorities"
    cp /etc/resolv.conf "$new/etc/resolv.conf"
    inside "$new" python3 -m venv /opt/ha
    inside "$new" /opt/ha/bin/pip install --quiet --no-cache-dir "uv==$UV"
    inside "$new" /opt/ha/bin/uv pip install --quiet --python /opt/ha/bin/python --no-cache \
        --no-deps "homeassistant==$HOME_ASSISTANT"
    local package
    package=$(echo "$new"/opt/ha/lib/python3*/site-packages/homeassistant)
    # lru-dict has no wheel of the pinned version for this Python, and there is no compiler here.
    grep -v '^lru-dict' "$package/package_constraints.txt" > "$new/tmp/constraints.txt"
    echo 'lru-dict>=1.3.0' > "$new/tmp/overrides.txt"
    inside "$new" /opt/ha/bin/uv pip install --quiet --python /opt/ha/bin/python --no-cache \
        --override /tmp/overrides.txt --constraint /tmp/constraints.txt \
        "homeassistant==$HOME_ASSISTANT" "${PARTS[@]}"
    # Parts of it that nobody asks for here, and what Python finds out again.
    rm -rf "$new"/var/cache/apt "$new"/var/lib/apt/lists "$new"/usr/share/{doc,man,locale,info} \
        "$new"/opt/ha/lib/python3*/site-packages/hass_frontend/static/translations
    mkdir -p "$new/config"
}

mkdir -p "$cache"
exec 9> "$cache/home-assistant.lock"
flock 9
if [ ! -x "$root/opt/ha/bin/hass" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "Home Assistant is installed by root only" >&2
        exit 1
    fi
    new=$(mktemp -d "$cache/home-assistant-XXXXXX")
    chmod 755 "$new"
    if ! install "$new" > "$cache/home-assistant.log" 2>&1; then
        tail -20 "$cache/home-assistant.log" >&2
        rm -rf "$new"
        exit 1
    fi
    rm -rf "$root"
    mv "$new" "$root"
fi
echo "$root"
