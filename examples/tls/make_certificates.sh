#!/bin/sh
# Makes what this example needs in certificates/: an authority, a certificate for the server and two
# for clients. Run again, it makes new certificates, and a running server takes them.
set -eu
mkdir -p certificates
cd certificates
umask 077

if [ ! -f ca.key ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
        -subj "/CN=bee example authority" -keyout ca.key -out ca.pem 2>/dev/null
fi

issue() { # name, kind of use, name in the certificate
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" \
        -keyout "$1.key.new" -out "$1.csr" 2>/dev/null
    printf 'subjectAltName=%s\nextendedKeyUsage=%s\n' "$3" "$2" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 90 \
        -extfile "$1.ext" -out "$1.pem.new" 2>/dev/null
    rm "$1.csr" "$1.ext"
    mv "$1.key.new" "$1.key"
    mv "$1.pem.new" "$1.pem"
}

issue server serverAuth "DNS:localhost,IP:127.0.0.1"
issue billing clientAuth "email:billing@example.org"
issue shop clientAuth "email:shop@example.org"
echo "certificates/ has ca.pem, server.pem, billing.pem, shop.pem and their keys"
