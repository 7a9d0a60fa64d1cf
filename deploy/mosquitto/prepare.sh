#!/bin/sh
# Writes what Mosquitto needs into one folder: accounts (accounts.sh), the access rules, for TLS a
# certificate (certificate.sh), and the configuration.
#
#   prepare.sh STATE LISTENER USER [OUTSIDE]
#
#   STATE     folder for all of it, absolute
#   LISTENER  "PORT ADDRESS", as in mosquitto.conf: where the services come in
#   USER      who the broker runs as
#   OUTSIDE   "PORT ADDRESS" for programs outside, with accounts of their own: a service's password
#             is of no use there. Left out: one listener for all.
#
# With OUTSIDE, further listeners for outside by variables:
#
#   TLS_LISTENER         "PORT ADDRESS" for TLS
#   WEBSOCKETS_LISTENER  "PORT ADDRESS" for WebSockets; with TLS where TLS_LISTENER is set
#   CERTIFICATE_FOLDER   your fullchain.pem and privkey.pem; without them one is made
#   TLS_NAMES            names and addresses in the one that is made
set -eu
umask 077

here=$(cd "$(dirname "$0")" && pwd)
state=$1
listener=$2
user=$3
outside=${4:-}
tls=${TLS_LISTENER:-}
websockets=${WEBSOCKETS_LISTENER:-}

mkdir -p "$state/data" "$state/secrets"
if [ -n "$outside" ]; then
    [ -e "$state/passwords-outside" ] || : > "$state/passwords-outside"
else
    rm -f "$state/passwords-outside"
fi
"$here/accounts.sh" "$state"
# Home Assistant's discovery prefix is a setting (outputs.home_assistant.prefix) of both sides.
sed -e "s|@DISCOVERY@|${DISCOVERY_PREFIX:-homeassistant}|g" "$here/acl" > "$state/acl"

# write_listener LISTENER PASSWORDS
write_listener() {
    printf '\nlistener %s\nallow_anonymous false\n' "$1"
    # Deprecated in 2.1 in favour of plugins which 2.0 (Debian 12) has not; both read these.
    printf 'password_file %s\nacl_file %s\n' "$state/$2" "$state/acl"
}

write_certificate() {
    theirs=${CERTIFICATE_FOLDER:-}
    if [ -n "$theirs" ] && [ -e "$theirs/fullchain.pem" ]; then
        for file in fullchain.pem privkey.pem; do
            if [ ! -r "$theirs/$file" ]; then
                echo "The certificate folder's $file cannot be read by the broker's user" \
                    "($(id -u)): sudo chown $(id -u) $file" >&2
                exit 1
            fi
        done
        printf 'certfile %s\nkeyfile %s\n' "$theirs/fullchain.pem" "$theirs/privkey.pem"
    else
        "$here/certificate.sh" "$state/tls" "${TLS_NAMES:-localhost}"
        printf 'certfile %s\nkeyfile %s\n' "$state/tls/server.crt" "$state/tls/server.key"
    fi
    printf 'tls_version tlsv1.2\n'
}

{
    write_listener "$listener" passwords
    if [ -n "$outside" ]; then write_listener "$outside" passwords-outside; fi
    if [ -n "$outside" ] && [ -n "$tls" ]; then
        write_listener "$tls" passwords-outside
        write_certificate
    fi
    if [ -n "$outside" ] && [ -n "$websockets" ]; then
        write_listener "$websockets" passwords-outside
        printf 'protocol websockets\n'
        if [ -n "$tls" ]; then write_certificate; fi
    fi
} > "$state/listeners"
sed -e "/^@LISTENERS@\$/{r $state/listeners" -e "d}" -e "s|@STATE@|$state|g" -e "s|@USER@|$user|" \
    "$here/mosquitto.conf" > "$state/mosquitto.conf"
rm "$state/listeners"
