#!/usr/bin/python3
"""Writes an issuer's published keys as PEM files, for jwt.cfg.

    keys.py http://127.0.0.1:8080/d1/authz/v1 /etc/haproxy/moneyer

writes key-1.pem to key-3.pem there: the announced, signing and retired keys. If
there are fewer, the first key fills the other files, because HAProxy needs all of
them. It prints the files that it changed, so

    [ -z "$(keys.py ISSUER FOLDER)" ] || systemctl reload haproxy

Needs python3-jwcrypto. Except for tests the issuer's URL must be https: whoever
answers at that URL decides which tokens are accepted.
"""
import json
import os
import sys
import urllib.request

from jwcrypto.jwk import JWK

FILES = 3


def main(issuer, folder):
    with urllib.request.urlopen(issuer + "/.well-known/jwks.json", timeout=10) as answer:
        keys = json.load(answer)["keys"]
    pems = [JWK(**key).export_to_pem() for key in keys if key.get("use") == "sig"]
    if not 1 <= len(pems) <= FILES:
        sys.exit(f"{issuer} publishes {len(pems)} keys, and jwt.cfg has room for 1 to {FILES}")
    pems += pems[:1] * (FILES - len(pems))
    os.makedirs(folder, exist_ok=True)
    for number, pem in enumerate(pems, 1):
        path = os.path.join(folder, f"key-{number}.pem")
        if os.path.exists(path) and open(path, "rb").read() == pem:
            continue
        with open(path + ".new", "wb") as file:
            file.write(pem)
        os.replace(path + ".new", path)
        print(path)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
