SECRET_KEY = "not-a-secret-0123456789-0123456789-0123456789-0123"
USE_TZ = False
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.mysql",
        "NAME": "shop",
        "USER": "shop",
        "PASSWORD": "p@ss'w/0rd",
        "HOST": "/run/mysqld/mysqld.sock",
        "OPTIONS": {"charset": "utf8mb4"},
        "CONN_MAX_AGE": 60,
    },
    "replica": {"ENGINE": "django.db.backends.mysql"},
}
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "accounts.hashers.Legacy",
]
