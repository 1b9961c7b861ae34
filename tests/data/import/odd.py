# Texts that mean something to YAML, to the reader of variables, or to whoever reads remarks.
SECRET_KEY = f"{prefix}-key"
SIMPLE_JWT = {
    "ISSUER": "${HOME}: [off] # \"x\"",
    "AUDIENCE": {"yes", "1.5", "a: b"},
    "AUTH_HEADER_TYPES": ("Be arer",),
    "AUTH_HEADER_NAME": "Authorization",
    "REVOKE_TOKEN_CLAIM": lambda user, key: {"a": 1},
    "ACCESS_TOKEN_LIFETIME": 300,
    "REFRESH_TOKEN_LIFETIME": timedelta(fortnights=1),
    name: 1,
    **other,
}
DATABASES = {"default": {"ENGINE": "django.db.backends.oracle", "NAME": "x"}}
