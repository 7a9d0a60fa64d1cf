#!/bin/sh
# Writes what Mosquitto needs into one folder: accounts with random passwords (only those that
# are missing), the access rules and the configuration.
#
#   prepare.sh STATE LISTENER USER [OWNER]
#
#   STATE     folder for all of it, absolute; secrets/ACCOUNT/password is what a service reads
#   LISTENER  "PORT ADDRESS", as in mosquitto.conf
#   USER      who the broker runs as
#   OWNER     numeric user who may read the secrets (default: whoever runs this)
set -eu
umask 077

accounts="capture inference publisher manager cloud-sync viewer pusher"
here=$(cd "$(dirname "$0")" && pwd)
state=$1
listener=$2
user=$3
owner=${4:-}

mkdir -p "$state/data" "$state/secrets"
: > "$state/passwords.new"
for account in $accounts; do
    secret="$state/secrets/$account"
    mkdir -p "$secret"
    if [ ! -s "$secret/password" ]; then
        # Written aside and moved: a start that is interrupted leaves no empty password.
        head -c 24 /dev/urandom | base64 | tr '+/' '-_' > "$secret/password.new"
        mv "$secret/password.new" "$secret/password"
    fi
    printf '%s:%s\n' "$account" "$(cat "$secret/password")" >> "$state/passwords.new"
done
# For mosquitto_sub with XDG_CONFIG_HOME at this folder, for the same reason as the next line.
printf -- '-u viewer\n-P %s\n' "$(cat "$state/secrets/viewer/password")" \
    > "$state/secrets/viewer/mosquitto_sub"
# -U hashes a file in place, so that no password is ever an argument that `ps` shows.
mosquitto_passwd -U "$state/passwords.new"
mv "$state/passwords.new" "$state/passwords"
cat "$here/acl" > "$state/acl"
sed -e "s|@LISTENER@|$listener|" -e "s|@STATE@|$state|g" -e "s|@USER@|$user|" \
    "$here/mosquitto.conf" > "$state/mosquitto.conf"

if [ -n "$owner" ]; then
    chmod 711 "$state" "$state/secrets"
    chown -R "$owner" "$state/secrets"
fi
if [ "$(id -u)" = 0 ]; then
    chown "$user" "$state/passwords" "$state/acl" "$state/data"
    if [ "$user" != root ]; then chown "$user" "$state"; fi
fi
