import os
from datetime import timedelta

import environ

env = environ.Env()

SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("DB_NAME", "shop"),
        "USER": os.getenv("DB_USER"),
        "PASSWORD": os.environ["DB_PASSWORD"],
        "HOST": env("DB_HOST", default="db.internal"),
        "PORT": env.int("DB_PORT", default=5432),
    }
}
SIMPLE_JWT = {
    "SIGNING_KEY": os.environ.get("JWT_KEY", "an-insecure-default"),
    "ISSUER": env.str("JWT_ISSUER", default="https://shop.example.test"),
    "AUDIENCE": os.environ.get("JWT_AUDIENCE", None),
    "ROTATE_REFRESH_TOKENS": env.bool("ROTATE", default=True),
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=int(os.environ.get("ACCESS_MINUTES", 5))),
}
