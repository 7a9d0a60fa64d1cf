#!/bin/sh
# The accounts at the broker: makes those that are missing, shows those of programs outside the
# box, gives one of them a new password.
#
#   accounts.sh STATE                  make, and write what Mosquitto reads
#   accounts.sh STATE show             "ACCOUNT PASSWORD" of each that a program outside may use
#   accounts.sh STATE rotate ACCOUNT   a new password, in force at once; connections with the old
#                                      one are closed
#
# STATE/secrets/ACCOUNT/password is what a program reads. Where STATE/passwords-outside is
# (prepare.sh makes it), the accounts for outside are in there, and only the services' in
# STATE/passwords; else all are in the latter.
set -eu
umask 077

services="capture inference publisher manager cloud-sync"
outside="viewer operator home-assistant processor pusher"
state=$1
task=${2:-make}

random_password() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; }

# make_account ACCOUNT FILE: a password if there is none, and its line in FILE.
make_account() {
    secret="$state/secrets/$1"
    mkdir -p "$secret"
    if [ ! -s "$secret/password" ]; then
        # Written aside and moved: a start that is interrupted leaves no empty password.
        random_password > "$secret/password.new"
        mv "$secret/password.new" "$secret/password"
    fi
    printf '%s:%s\n' "$1" "$(cat "$secret/password")" >> "$2"
    # A container that works with this account has a folder of its own here.
    if [ -d "$state/handed/$1" ]; then
        cp "$secret/password" "$state/handed/$1/password.new"
        mv "$state/handed/$1/password.new" "$state/handed/$1/password"
    fi
}

# -U hashes a file in place, so that no password is ever an argument that `ps` shows.
put_in_force() {
    mosquitto_passwd -U "$1.new"
    mv "$1.new" "$1"
}

make_accounts() {
    : > "$state/passwords.new"
    for account in $services; do make_account "$account" "$state/passwords.new"; done
    apart=$state/passwords
    if [ -e "$state/passwords-outside" ]; then
        apart=$state/passwords-outside
        : > "$apart.new"
    fi
    for account in $outside; do make_account "$account" "$apart.new"; done
    put_in_force "$state/passwords"
    if [ "$apart" != "$state/passwords" ]; then put_in_force "$apart"; fi
    # For the health check: mosquitto_sub with XDG_CONFIG_HOME at this folder.
    mkdir -p "$state/health"
    printf -- '-u manager\n-P %s\n' "$(cat "$state/secrets/manager/password")" \
        > "$state/health/mosquitto_sub"
}

case $task in
make)
    make_accounts
    ;;
show)
    for account in $outside; do
        printf '%-15s %s\n' "$account" "$(cat "$state/secrets/$account/password")"
    done
    # Of the containers that come with the profile `observability`; the user is `admin`.
    for program in grafana influxdb; do
        file=$state/handed/observability/$program-password
        if [ -s "$file" ]; then printf '%-15s %s\n' "$program" "$(cat "$file")"; fi
    done
    ;;
rotate)
    whose=${3:-}
    case " $outside " in
    *" ${whose:-none} "*) ;;
    *)
        echo "'$whose' is no account for programs outside; those are: $outside" >&2
        exit 2
        ;;
    esac
    rm -f "$state/secrets/$whose/password"
    make_accounts
    if [ -s "$state/pid" ]; then kill -HUP "$(cat "$state/pid")" 2> /dev/null || true; fi
    printf '%-15s %s\n' "$whose" "$(cat "$state/secrets/$whose/password")"
    ;;
*)
    echo "usage: accounts.sh STATE [show|rotate ACCOUNT]" >&2
    exit 2
    ;;
esac
