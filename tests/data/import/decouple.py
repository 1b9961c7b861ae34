from datetime import timedelta
from decouple import config
import dj_database_url

SECRET_KEY = config("SECRET_KEY")
DATABASES = {"default": dj_database_url.config(default="sqlite:///db.sqlite3", conn_max_age=600)}
SIMPLE_JWT = {"SIGNING_KEY": SECRET_KEY, "REFRESH_TOKEN_LIFETIME": timedelta(weeks=2)}
