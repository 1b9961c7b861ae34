"""Makes the tables and the users, and serves."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "recorded.settings")

from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

call_command("migrate", verbosity=0)

from django.contrib.auth import get_user_model

for user in settings.GOLDEN["users"]:
    get_user_model().objects.create_user(
        user["username"], password=user["password"], is_active=user["is_active"], pk=user["id"]
    )
