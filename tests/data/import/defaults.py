"""The smallest site: SimpleJWT's defaults."""
SECRET_KEY = "not-a-secret-0123456789-0123456789-0123456789-0123"
INSTALLED_APPS = ["django.contrib.auth", "rest_framework", "rest_framework_simplejwt"]
