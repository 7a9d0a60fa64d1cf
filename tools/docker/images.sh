#!/usr/bin/env bash
# Builds all images, without a container registry: the base image is made by debootstrap, once,
# and kept in the cache folder. With BASE_IMAGE set, that image is the base of all.
#
#   images.sh [mosquitto|capture|inference|publisher|manager|cloud-sync|emulator|postgres|prometheus]...
#
# Without names: those of the services. The last two stand in for the official images.
set -euo pipefail
cd "$(dirname "$0")/../.."

export DOCKER_BUILDKIT=0 # Debian's engine has only the old builder
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nxai-edge
authorities=/etc/ssl/certs/ca-certificates.crt

make_base() {
    local tarball=$cache/base-bookworm.tar root
    if [ -z "$(find "$tarball" -mtime -30 2> /dev/null)" ]; then # older: miss security fixes
        root=$(mktemp -d "$cache/root-XXXXXX")
        debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv \
            bookworm "$root" http://deb.debian.org/debian > "$cache/debootstrap.log" 2>&1 || {
            tail -20 "$cache/debootstrap.log" >&2
            rm -rf "$root"
            return 1
        }
        # This machine may trust more authorities than Debian's package brings.
        cp "$authorities" "$root$authorities"
        rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* \
            "$root"/usr/share/{doc,man,locale,info}/*
        tar -C "$root" --numeric-owner -cf "$tarball.new" .
        rm -rf "$root"
        mv "$tarball.new" "$tarball"
    fi
    docker import -c "ENV SSL_CERT_FILE=$authorities PIP_CERT=$authorities" \
        "$tarball" nxai-base:bookworm > /dev/null
}

build() {
    local name=$1
    shift
    # The builder's network is the host's: its own may have no way out. What the builder says
    # matters only when it fails.
    docker build --network host --build-arg BASE_IMAGE="$BASE_IMAGE" -t "$name" "$@" . \
        > "$cache/build.log" 2>&1 || {
        tail -40 "$cache/build.log" >&2
        return 1
    }
    echo "built $name  $(docker image inspect -f '{{.Size}}' "$name" | awk '{print int($1 / 1e6) " MB"}')"
}

mkdir -p "$cache"
if [ -z "${BASE_IMAGE:-}" ]; then
    base=nxai-base:bookworm
    stamp=$(stat -c %Y "$cache/base-bookworm.tar" 2> /dev/null || echo none)
    # Importing again would give the same files a new name and every layer a new build.
    if ! docker image inspect $base > /dev/null 2>&1 || [ "$stamp" = none ] ||
        [ "$(cat "$cache/base-imported" 2> /dev/null)" != "$stamp" ]; then
        make_base
        stat -c %Y "$cache/base-bookworm.tar" > "$cache/base-imported"
    fi
    BASE_IMAGE=$base
fi
if [ $# = 0 ]; then set -- mosquitto capture inference publisher manager cloud-sync; fi
for name in "$@"; do
    if [ "$name" = mosquitto ]; then
        build nxai-mosquitto -f deploy/docker/mosquitto.Dockerfile
    elif [ "$name" = emulator ]; then
        build nxai-build:emulator -f deploy/docker/emulator.Dockerfile --target build > /dev/null
        build nxai-edge-impulse-emulator -f deploy/docker/emulator.Dockerfile
    elif [ "$name" = postgres ] || [ "$name" = prometheus ]; then
        build "nxai-test-$name" -f "tests/support/$name.Dockerfile"
    else
        # The build stage has a name of its own, so that tidying up below leaves it for next time.
        build "nxai-build:$name" -f deploy/docker/Dockerfile --build-arg SERVICE="$name" \
            --target build > /dev/null
        build "nxai-$name" -f deploy/docker/Dockerfile --build-arg SERVICE="$name"
    fi
done
# Images of earlier builds, half a gigabyte each.
docker image prune --force --filter label=nxai=image > /dev/null
