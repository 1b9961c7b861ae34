"""A site that knows nothing of Tollgate: its users, in the database that DATABASE names."""

import os

import pymysql

# Django's backend for MySQL asks for this driver by its older name.
pymysql.install_as_MySQLdb()

SECRET_KEY = "published test data"
USE_TZ = True
TIME_ZONE = "Europe/Berlin"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = os.environ.get("USER_MODEL", "auth.User")
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes"]
if AUTH_USER_MODEL == "people.Member":
    INSTALLED_APPS.append("people")
PASSWORD_HASHERS = [
    f"django.contrib.auth.hashers.{name}PasswordHasher"
    for name in ["PBKDF2", "PBKDF2SHA1", "Argon2", "BCryptSHA256", "Scrypt", "BCrypt", "MD5"]
]

kind, _, place = os.environ["DATABASE"].partition(":")
DATABASES = {
    "default": {
        "sqlite": {"ENGINE": "django.db.backends.sqlite3", "NAME": place},
        "postgres": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "site",
            "HOST": place,
            "USER": "site",
        },
        "mariadb": {
            "ENGINE": "django.db.backends.mysql",
            "NAME": "site",
            "USER": "root",
            "OPTIONS": {"unix_socket": place},
        },
    }[kind]
}
