"""Fetches tokens with Authlib's sessions, including discovery."""

import os
import tempfile
import time

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # the sandbox speaks HTTP on loopback

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import get_well_known_url

from work import for_each_piece


def tls_of(piece):
    """What requests needs to trust the server and to show the client's certificate."""
    if not piece.get("ca"):
        return {}
    folder = tempfile.mkdtemp()
    paths = {}
    for name in ("ca", "certificate", "certificate_key"):
        if piece.get(name):
            paths[name] = os.path.join(folder, name)
            with open(paths[name], "w") as file:
                file.write(piece[name])
    tls = {"verify": paths["ca"]}
    if "certificate" in paths:
        tls["cert"] = (paths["certificate"], paths["certificate_key"])
    return tls


def discover(piece, tls):
    if piece["discovery"] == "oauth2":
        url = get_well_known_url(piece["issuer"], external=True)
    else:
        url = piece["issuer"] + "/.well-known/openid-configuration"
    answer = requests.get(url, timeout=10, **tls)
    answer.raise_for_status()
    metadata = answer.json()
    assert metadata["issuer"] == piece["issuer"], metadata
    return metadata


def key_of(piece):
    """The private key as a newer Authlib wants it."""
    try:
        from joserfc.jwk import ECKey
    except ImportError:
        return piece["pem"]
    return ECKey.import_key(piece["pem"])


def fetch(piece):
    tls = tls_of(piece)
    metadata = discover(piece, tls)
    endpoint, auth = metadata["token_endpoint"], piece["auth"]
    if "cert" in tls:
        endpoint = metadata["mtls_endpoint_aliases"]["token_endpoint"]
    if auth.endswith("tls_client_auth"):
        auth = "none"  # it sends client_id, and the rest is the connection's
    session = OAuth2Session(piece["client_id"], piece.get("secret") or piece.get("pem") and key_of(piece), scope=piece.get("scope"),
                            token_endpoint_auth_method=auth)
    if auth == "private_key_jwt":
        claims = {}
        if piece.get("aud"):
            claims["aud"] = piece["aud"]
        if piece.get("lifetime"):
            claims["exp"] = int(time.time()) + piece["lifetime"]
        session.register_client_auth_method(PrivateKeyJWT(endpoint, claims=claims, alg=piece["alg"]))
    session.trust_env = not tls  # REQUESTS_CA_BUNDLE would go before verify
    for name, value in tls.items():
        setattr(session, name, value)
    if piece.get("assertion"):
        return session.fetch_token(endpoint, grant_type=piece["grant_type"], assertion=piece["assertion"])
    return session.fetch_token(endpoint, grant_type="client_credentials")


def ask(piece):
    try:
        return dict(fetch(piece))
    except AuthlibBaseError as err:
        return {"error": err.error}


for_each_piece(ask)
