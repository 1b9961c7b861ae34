from .base import *
from datetime import timedelta
import os

SECRET_KEY = "not-a-secret-0123456789-0123456789-0123456789-0123"
SIMPLE_JWT = {"ACCESS_TOKEN_LIFETIME": timedelta(minutes=5)}

if os.environ.get("PRODUCTION"):
    SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"] = timedelta(minutes=1)
    SECRET_KEY = os.environ["SECRET_KEY"]
else:
    INSTALLED_APPS += ["debug_toolbar"]

for name in ("ISSUER", "AUDIENCE"):
    SIMPLE_JWT[name] = os.environ[name]

SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"] = timedelta(days=30) if DEBUG else timedelta(days=1)
SIMPLE_JWT["ROTATE_REFRESH_TOKENS"] = not DEBUG
SIMPLE_JWT.setdefault("LEEWAY", 5)

try:
    from .local import *
except ImportError:
    pass

import django_heroku
django_heroku.settings(locals())
