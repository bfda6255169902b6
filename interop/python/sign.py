"""Signs assertions with the library that the argument names."""

import json

from work import for_each_piece, library


def header_of(piece):
    header = {"alg": piece["alg"], "typ": "JWT"}
    if piece.get("kid"):
        header["kid"] = piece["kid"]
    return header


def jwcrypto(piece):
    from jwcrypto import jwk, jwt

    key = jwk.JWK.from_pem(piece["pem"].encode())
    token = jwt.JWT(header=json.dumps(header_of(piece)), claims=json.dumps(piece["claims"]))
    token.make_signed_token(key)
    return token.serialize()


def authlib(piece):
    from authlib.jose import JsonWebToken

    return JsonWebToken([piece["alg"]]).encode(header_of(piece), piece["claims"], piece["pem"]).decode()


def joserfc(piece):
    from joserfc import jwt
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    kind = {"E": ECKey, "R": RSAKey, "P": RSAKey}[piece["alg"][0]] if piece["alg"] != "EdDSA" else OKPKey
    return jwt.encode(header_of(piece), piece["claims"], kind.import_key(piece["pem"]), algorithms=[piece["alg"]])


for_each_piece({"jwcrypto": jwcrypto, "authlib": authlib, "joserfc": joserfc}[library])
