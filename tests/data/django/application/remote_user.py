"""Who the caller is: the user whom the gateway names, if there is one here."""

from django.contrib.auth.backends import RemoteUserBackend
from django.contrib.auth.middleware import RemoteUserMiddleware


class GatewayUserMiddleware(RemoteUserMiddleware):
    header = "HTTP_X_USER_NAME"


class KnownUserBackend(RemoteUserBackend):
    create_unknown_user = False
