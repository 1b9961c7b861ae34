from datetime import timedelta

SECRET_KEY = "not-a-secret-0123456789-0123456789-0123456789-0123"
SIMPLE_JWT = dict(
    ACCESS_TOKEN_LIFETIME=timedelta(minutes=15),
    REFRESH_TOKEN_LIFETIME=timedelta(days=7),
    ROTATE_REFRESH_TOKENS=True,
    BLACKLIST_AFTER_ROTATION=True,
    UPDATE_LAST_LOGIN=True,
    AUTH_HEADER_TYPES=("JWT", "Bearer"),
    AUTH_HEADER_NAME="HTTP_X_ACCESS_TOKEN",
)
INSTALLED_APPS = ["rest_framework_simplejwt.token_blacklist.apps.TokenBlacklistConfig"]
