"""Judges access tokens by an issuer's published keys with the library that the
argument names. "" is a good token, else the name of the error."""

import json
import time

from work import for_each_piece, key_set, library


def jwcrypto(piece):
    from jwcrypto import jwk, jwt

    keys = jwk.JWKSet.from_json(key_set(piece["jwks_uri"]))
    token = jwt.JWT(algs=[piece["alg"]], check_claims={"iss": piece["issuer"], "aud": piece["audience"], "exp": None})
    token.leeway = -piece["ahead"]  # it has no configurable clock, but this has the same effect
    token.deserialize(piece["token"], keys)


def authlib(piece):
    from authlib.jose import JsonWebKey, JsonWebToken

    keys = JsonWebKey.import_key_set(json.loads(key_set(piece["jwks_uri"])))
    claims = JsonWebToken([piece["alg"]]).decode(piece["token"], keys, claims_options={
        "iss": {"essential": True, "value": piece["issuer"]},
        "aud": {"essential": True, "value": piece["audience"]},
        "exp": {"essential": True},
    })
    claims.validate(now=int(time.time()) + piece["ahead"], leeway=0)


def joserfc(piece):
    from joserfc import jwt
    from joserfc.jwk import KeySet

    keys = KeySet.import_key_set(json.loads(key_set(piece["jwks_uri"])))
    token = jwt.decode(piece["token"], keys, algorithms=[piece["alg"]])
    jwt.JWTClaimsRegistry(
        now=int(time.time()) + piece["ahead"],
        iss={"essential": True, "value": piece["issuer"]},
        aud={"essential": True, "value": piece["audience"]},
        exp={"essential": True},
    ).validate(token.claims)


def judge(piece):
    try:
        {"jwcrypto": jwcrypto, "authlib": authlib, "joserfc": joserfc}[library](piece)
        return ""
    except Exception as err:  # any error means that the library refuses the token
        return type(err).__name__


for_each_piece(judge)
