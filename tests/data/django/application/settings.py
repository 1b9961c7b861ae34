"""An ordinary site that leaves authentication to the server before it, as Django's how-to on REMOTE_USER says."""

import os

SECRET_KEY = "published test data"
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "application.urls"
WSGI_APPLICATION = "application.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"

DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["APPLICATION_DATABASE"]}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "application.remote_user.GatewayUserMiddleware",
]

AUTHENTICATION_BACKENDS = ["application.remote_user.KnownUserBackend"]
