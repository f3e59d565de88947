#!/usr/bin/env bash
# Makes the certificate that tls.toml shows, for localhost, by an authority of its own; leaves those alone that are there
# and valid for another day.
set -euo pipefail

folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/certificates
mkdir -p "$folder"
cd "$folder"

if openssl x509 -in localhost.pem -noout -checkend 86400 >/dev/null 2>&1; then
    exit
fi
umask 077
key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
openssl req -x509 "${key[@]}" -keyout ca-key.pem -out ca.pem -days 90 -subj '/CN=Sluicegate example CA' 2>/dev/null
openssl req "${key[@]}" -keyout localhost-key.pem -out localhost.csr -subj '/CN=localhost' 2>/dev/null
openssl x509 -req -in localhost.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 90 -out localhost.pem \
    -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n') 2>/dev/null
rm localhost.csr
