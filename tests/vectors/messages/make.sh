#!/bin/sh
# Makes the files of this folder with OpenSSL alone, in the current folder.
set -eu
here=$(dirname "$0")
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }
certificate() { # name, subject, section of profile.cnf
    key "$1"
    openssl req -new -utf8 -key "$1.key" -subj "$2" -config "$here/profile.cnf" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA root.pem -CAkey root.key -set_serial "0x4$(openssl rand -hex 15)" \
        -days 10950 -extfile "$here/profile.cnf" -extensions "$3" -out "$1.pem"
}
key root
openssl req -x509 -new -utf8 -key root.key -subj "/CN=OpenSSL/OU=Trust centre" -days 10950 \
    -config "$here/profile.cnf" -extensions root -out root.pem
certificate supplier-sig "/CN=Supplier/OU=Supplier" sig
certificate card-enc "/CN=2001:db8::1/OU=Card/serialNumber=2001:db8::1" enc

sender=$(openssl x509 -in supplier-sig.pem -outform DER | openssl dgst -sha256 -r | cut -d' ' -f1)
printf '{"version":1,"type":"request","id":"00112233445566778899aabbccddeeff","sender":"%s","recipient":"2001:db8::1","time":"2026-11-23T12:00:00Z","queries":[{"elements":"*/1-0:1.8.0*255","period":{"from":"2026-11-01T00:00:00Z","to":"2026-11-02T00:00:00Z"},"resolution":"PT15M"}]}' \
    "$sender" > request.json

openssl cms -encrypt -binary -aes-128-gcm -in request.json -outform DER -out enveloped.der \
    -recip card-enc.pem -keyopt ecdh_kdf_md:sha256
openssl cms -sign -binary -nodetach -econtent_type 1.2.840.113549.1.9.16.1.6 -md sha256 \
    -signer supplier-sig.pem -inkey supplier-sig.key -in enveloped.der -outform DER -out request.der

key csr
openssl req -new -utf8 -key csr.key -subj "/CN=Supplier/OU=Supplier" -config "$here/profile.cnf" \
    -reqexts tls-request -outform DER -out csr.der
rm -f enveloped.der root.key supplier-sig.key csr.key ./*.csr
