#!/bin/sh
# A certificate authority of this box's own, and a certificate from it for Mosquitto.
#
#   certificate.sh FOLDER NAME[,NAME...]
#
# The authority (ca.crt, ca.key) is made once. The certificate (server.crt, server.key) is made
# again when the names change or it ends within a year: a box that starts once a year never shows
# one that has ended.
set -euf
umask 077

folder=$1
names=$2
year=31536000 # seconds
mkdir -p "$folder"
cd "$folder"

# 2 years: some clients (Apple's) take none that is valid for longer than 825 days.
server_days=800
authority_days=7300

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

if [ ! -s ca.crt ] || [ ! -s ca.key ]; then
    new_key ca.key.new
    openssl req -x509 -new -key ca.key.new -days $authority_days -subj "/O=nxai-edge/CN=nxai-edge box" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" -out ca.crt.new
    mv ca.key.new ca.key
    mv ca.crt.new ca.crt
    rm -f server.crt
fi

if [ -s server.crt ] && [ "$(cat server.names 2> /dev/null)" = "$names" ] &&
    openssl x509 -in server.crt -noout -checkend $year > /dev/null; then
    exit 0
fi

subjects=
for name in $(printf '%s' "$names" | tr ',' ' '); do
    case $name in
    *[!A-Za-z0-9.:*-]*)
        echo "MQTT_TLS_NAMES: $name is neither a host name nor an IP address" >&2
        exit 1
        ;;
    *:* | *[0-9].[0-9]*.[0-9]*.[0-9]*) kind=IP ;;
    *) kind=DNS ;;
    esac
    subjects="$subjects${subjects:+,}$kind:$name"
done
new_key server.key.new
printf '%s\n' "subjectAltName=$subjects" "basicConstraints=critical,CA:FALSE" \
    "keyUsage=critical,digitalSignature" "extendedKeyUsage=serverAuth" > extensions
openssl req -new -key server.key.new -subj "/CN=${names%%,*}" -out server.csr
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days $server_days \
    -extfile extensions -out server.crt.new 2> /dev/null
mv server.key.new server.key
mv server.crt.new server.crt
printf '%s\n' "$names" > server.names
rm -f server.csr extensions
