import datetime as dt
from datetime import timedelta

MINUTE = timedelta(minutes=1)
SECRET_KEY: str = ("not-a-secret-0123456789" "-0123456789-0123456789-0123")
DEFAULTS = {
    "ACCESS_TOKEN_LIFETIME": 5 * MINUTE,
    "ROTATE_REFRESH_TOKENS": False,
}
SIMPLE_JWT = {**DEFAULTS, **{"ROTATE_REFRESH_TOKENS": True}}
SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"] = MINUTE * 60 * 24 * 14
SIMPLE_JWT.update({"ISSUER": "https://" + "shop.example.test", "LEEWAY": 1.5})
SIMPLE_JWT = SIMPLE_JWT | {"AUDIENCE": "shop"}
INSTALLED_APPS = ("rest_framework",)
INSTALLED_APPS += ("rest_framework_simplejwt.token_blacklist",)
