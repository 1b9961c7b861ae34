import datetime
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parents[1]
SECRET_KEY = "site-only"

SIMPLE_JWT = {
    "ALGORITHM": "RS256",
    "SIGNING_KEY": open(BASE_DIR / "keys" / "private.pem").read(),
    "VERIFYING_KEY": (BASE_DIR / "keys" / "public.pem").read_text(),
    "AUDIENCE": ["wire-api", "other"],
    "ISSUER": "https://issuer.example.test",
    "LEEWAY": datetime.timedelta(seconds=10),
    "CHECK_REVOKE_TOKEN": True,
    "ACCESS_TOKEN_LIFETIME": datetime.timedelta(hours=1),
}
