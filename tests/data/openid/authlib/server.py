"""An OpenID Provider for tests/openid_providers.rs: Authlib's authorization server in a Flask application.

Usage: python server.py PORT      (0: any)

Each start makes a signing key, so that a restart at the same port is a rotation.
"""

import os
import sys

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from flask import Flask, jsonify, request
from joserfc.jwk import ECKey, KeySet
from werkzeug.serving import make_server

# Authlib insists on https elsewhere.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

# A tenant's issuer, as many providers have it: its document is below this path.
REALM = "/realms/shop"

KEYS = KeySet([ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)])


class Client(ClientMixin):
    """The only client."""

    def get_client_id(self):
        return "orders-worker"

    def get_allowed_scope(self, scope):
        return scope if scope == "orders:read" else ""

    def check_client_secret(self, client_secret):
        return client_secret == "the-secret-of-orders-worker"

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_basic"

    def check_grant_type(self, grant_type):
        return grant_type == "client_credentials"


class AccessTokens(JWTBearerTokenGenerator):
    """Access tokens by RFC 9068 for the API that was asked for by RFC 8707."""

    def get_jwks(self):
        return KEYS

    def get_audiences(self, client, user, scope):
        return [request.form["resource"]]


application = Flask(__name__)
http = make_server("127.0.0.1", int(sys.argv[1]), application, threaded=True)
issuer = f"http://127.0.0.1:{http.server_port}{REALM}"

server = AuthorizationServer(
    application,
    query_client=lambda client_id: Client() if client_id == "orders-worker" else None,
    save_token=lambda token, request: None,
)
server.register_grant(grants.ClientCredentialsGrant)
server.register_token_generator("client_credentials", AccessTokens(issuer, alg="ES256"))


@application.get(f"{REALM}/.well-known/openid-configuration")
def discovery():
    return jsonify(
        issuer=issuer,
        authorization_endpoint=f"{issuer}/authorize",
        token_endpoint=f"{issuer}/token",
        jwks_uri=f"{issuer}/keys",
        response_types_supported=["code"],
        subject_types_supported=["public"],
        grant_types_supported=["client_credentials"],
        id_token_signing_alg_values_supported=["ES256"],
        token_endpoint_auth_methods_supported=["client_secret_basic"],
    )


@application.get(f"{REALM}/keys")
def keys():
    return jsonify(KEYS.as_dict(private=False))


@application.post(f"{REALM}/token")
def token():
    return server.create_token_response()


print(f"serves {issuer}", flush=True)
http.serve_forever()
