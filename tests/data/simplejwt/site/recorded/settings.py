"""The recorded site: a Django project with the stock views of djangorestframework-simplejwt and one protected view.

The profile, its keys and its users are those of golden.json, which the environment names; one more profile stands in
names.json beside it.
"""

import json
import os
from datetime import timedelta
from pathlib import Path

with open(os.environ["RECORDED_GOLDEN"]) as file:
    GOLDEN = json.load(file)
PROFILES = GOLDEN["profiles"] | json.loads(Path(os.environ["RECORDED_GOLDEN"]).with_name("names.json").read_text())["profiles"]
PROFILE = os.environ["RECORDED_PROFILE"]

SECRET_KEY = GOLDEN["test_keys"]["hs256_secret"]
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "recorded.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "rest_framework_simplejwt",
    "rest_framework_simplejwt.token_blacklist",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["RECORDED_DATABASE"]}}
# What a password costs is no matter of these cases.
PASSWORD_HASHERS = ["recorded.hashers.Cheap"]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}

KEYS = GOLDEN["test_keys"]
SIMPLE_JWT = {name: value for name, value in PROFILES[PROFILE].items() if name.isupper()}
SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"] = timedelta(seconds=int(os.environ.get("RECORDED_ACCESS_LIFETIME", "300")))
SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"] = timedelta(seconds=int(os.environ.get("RECORDED_REFRESH_LIFETIME", "86400")))
for name in ("SLIDING_TOKEN_LIFETIME", "SLIDING_TOKEN_REFRESH_LIFETIME"):
    if name in SIMPLE_JWT:
        SIMPLE_JWT[name] = timedelta(seconds=SIMPLE_JWT[name])
if "AUTH_TOKEN_CLASSES" in SIMPLE_JWT:
    SIMPLE_JWT["AUTH_TOKEN_CLASSES"] = tuple(
        f"rest_framework_simplejwt.tokens.{name}" for name in SIMPLE_JWT["AUTH_TOKEN_CLASSES"]
    )
if SIMPLE_JWT["ALGORITHM"].startswith("HS"):
    SIMPLE_JWT["SIGNING_KEY"] = KEYS["hs256_secret"]
else:
    SIMPLE_JWT["SIGNING_KEY"] = KEYS["rs256_private_pem"]
    SIMPLE_JWT["VERIFYING_KEY"] = KEYS["rs256_public_pem"]
