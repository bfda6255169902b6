#!/bin/sh
# Reports whether a program that signs with OpenSSL 3 can be built here, and says what is missing.
compiler=$(go env CC)
if ! command -v "$compiler" >/dev/null; then
  echo "No OpenSSL: the C compiler $compiler is missing (Debian: apt-get install gcc libc6-dev libssl-dev)."
  exit 1
fi
if ! printf '%s\n' '#include <openssl/evp.h>' '#if OPENSSL_VERSION_NUMBER < 0x30000000L' '#error older than 3.0' '#endif' \
  'int main(void) { return EVP_PKEY_CTX_new_from_pkey(0, 0, 0) != 0; }' |
  "$compiler" -x c - -lcrypto -o /dev/null 2>/dev/null; then
  echo "No OpenSSL: the headers of OpenSSL 3 are missing (Debian: apt-get install libc6-dev libssl-dev)."
  exit 1
fi
