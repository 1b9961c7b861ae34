# A site with code of its own wherever SimpleJWT lets one.
SECRET_KEY = "short"
AUTH_USER_MODEL = "accounts.Member"
AUTHENTICATION_BACKENDS = ["accounts.backends.EmailBackend"]
SIMPLE_JWT = {
    "TOKEN_OBTAIN_SERIALIZER": "accounts.serializers.WithClaims",
    "USER_AUTHENTICATION_RULE": "accounts.rules.may_log_in",
    "AUTH_TOKEN_CLASSES": ("accounts.tokens.Special",),
    "TOKEN_USER_CLASS": "accounts.models.FromToken",
    "JSON_ENCODER": "accounts.encoder.Encoder",
    "JWK_URL": "https://id.example.test/keys",
    "USER_ID_FIELD": "uuid",
    "USER_ID_CLAIM": "sub_id",
    "ALGORITHM": "ES256K",
    "SECRET_KEY": "x",
    "ACESS_TOKEN_LIFETIME": 5,
    "LEEWAY": -1,
    "ISSUER": ["a"],
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
        "rest_framework_simplejwt.authentication.JWTStatelessUserAuthentication",
    ],
    "DEFAULT_THROTTLE_RATES": {"anon": "10/min"},
    "EXCEPTION_HANDLER": "accounts.errors.handler",
}
