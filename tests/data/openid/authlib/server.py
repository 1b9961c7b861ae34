"""An OpenID Provider for tests/openid_providers.rs: Authlib's authorization server in a Flask application.

Usage: python server.py PORT      (0: any)

Each start makes a signing key, so that a restart at the same port is a rotation.
"""

import os
import secrets
import sys
import time

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from flask import Flask, jsonify, request
from joserfc.jwk import ECKey, KeySet
from werkzeug.serving import make_server

# Authlib insists on https elsewhere.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

# A tenant's issuer, as many providers have it: its document is below this path.
REALM = "/realms/shop"

KEYS = KeySet([ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)])


SECRETS = {
    "orders-worker": "the-secret-of-orders-worker",
    # Who may introspect.
    "gate": "gate:100%+/=secret",
}


class Client(ClientMixin):
    """One of the above."""

    def __init__(self, client_id):
        self.client_id = client_id

    def get_client_id(self):
        return self.client_id

    def get_allowed_scope(self, scope):
        return scope if scope == "orders:read" else ""

    def check_client_secret(self, client_secret):
        return client_secret == SECRETS[self.client_id]

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_basic"

    def check_grant_type(self, grant_type):
        return grant_type == "client_credentials" and self.client_id == "orders-worker"


class AccessTokens(JWTBearerTokenGenerator):
    """Access tokens by RFC 9068 for the API that was asked for by RFC 8707."""

    def get_jwks(self):
        return KEYS

    def get_audiences(self, client, user, scope):
        return [request.form["resource"]]


class OpaqueToken(TokenMixin):
    """An access token that nobody else can read."""

    def __init__(self, token, client, audience):
        self.client_id = client.client_id
        self.audience = audience
        self.scope = token.get("scope")
        self.issued_at = int(time.time())
        self.expires_at = self.issued_at + token["expires_in"]
        self.revoked = False

    def check_client(self, client):
        return client.client_id == self.client_id

    def is_expired(self):
        return time.time() >= self.expires_at

    def is_revoked(self):
        return self.revoked


OPAQUE = {}


def save_token(token, token_request):
    audience = request.form["resource"]
    if audience.endswith("/opaque"):
        OPAQUE[token["access_token"]] = OpaqueToken(token, token_request.client, audience)


class Introspection(IntrospectionEndpoint):
    """RFC 7662, for the gate alone."""

    def query_token(self, token_string, token_type_hint):
        return OPAQUE.get(token_string)

    def check_permission(self, token, client, request):
        return client.client_id == "gate"

    def introspect_token(self, token):
        return {
            "client_id": token.client_id,
            "token_type": "Bearer",
            "scope": token.scope,
            "aud": token.audience,
            "iss": issuer,
            "iat": token.issued_at,
            "exp": token.expires_at,
        }


class Revocation(RevocationEndpoint):
    """RFC 7009."""

    def query_token(self, token_string, token_type_hint):
        return OPAQUE.get(token_string)

    def revoke_token(self, token, request):
        token.revoked = True


application = Flask(__name__)
http = make_server("127.0.0.1", int(sys.argv[1]), application, threaded=True)
issuer = f"http://127.0.0.1:{http.server_port}{REALM}"

server = AuthorizationServer(
    application,
    query_client=lambda client_id: Client(client_id) if client_id in SECRETS else None,
    save_token=save_token,
)
server.register_grant(grants.ClientCredentialsGrant)
readable = AccessTokens(issuer, alg="ES256")
opaque = BearerTokenGenerator(lambda **_: secrets.token_urlsafe(32))


def generate(**arguments):
    """An API whose name ends in /opaque gets tokens that nobody else can read."""
    generator = opaque if request.form["resource"].endswith("/opaque") else readable
    return generator(**arguments)


server.register_token_generator("client_credentials", generate)
server.register_endpoint(Introspection)
server.register_endpoint(Revocation)


@application.get(f"{REALM}/.well-known/openid-configuration")
def discovery():
    return jsonify(
        issuer=issuer,
        authorization_endpoint=f"{issuer}/authorize",
        token_endpoint=f"{issuer}/token",
        introspection_endpoint=f"{issuer}/introspect",
        revocation_endpoint=f"{issuer}/revoke",
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


@application.post(f"{REALM}/introspect")
def introspect():
    return server.create_endpoint_response("introspection")


@application.post(f"{REALM}/revoke")
def revoke():
    return server.create_endpoint_response("revocation")


print(f"serves {issuer}", flush=True)
http.serve_forever()
