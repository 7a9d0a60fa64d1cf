#!/usr/bin/env bash
# Gets Compose v2 for tests, where `docker compose` is not installed, and prints the DOCKER_CONFIG
# that makes it known. Debian 12 has 1.29 alone: v2 is that of Debian 13, checked by apt as any
# package, but installed nowhere except below .tools.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=$PWD/.tools/compose
plugin=$folder/cli-plugins/docker-compose
if [ ! -x "$plugin" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/files"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" \
        > "$work/sources"
    options=(-qq -o APT::Sandbox::User=root -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work"
        -o "Dir::Etc::SourceList=$work/sources" -o Dir::Etc::SourceParts=-)
    apt-get "${options[@]}" update >&2
    (cd "$work" && apt-get "${options[@]}" download docker-compose >&2)
    dpkg-deb -x "$work"/docker-compose_*.deb "$work/files"
    mkdir -p "$(dirname "$plugin")"
    mv "$work/files/usr/libexec/docker/cli-plugins/docker-compose" "$plugin"
fi
echo "$folder"
