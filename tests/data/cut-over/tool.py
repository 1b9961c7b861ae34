"""What a test asks of the site. Tokens go through the site's own views.

tool.py make USERS         makes the tables and so many users
tool.py issue COUNT        prints COUNT refresh tokens, of all users in turn
tool.py refresh < TOKENS   posts each of a JSON list, and prints what the view answers: [[status, body]]
tool.py blacklist < TOKENS likewise
tool.py show < TOKENS      shows each to a view that asks for an access token, and prints what it answers: [status]
"""

import json
import os
import sys

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
django.setup()

from django.contrib.auth import get_user_model
from django.core.management import call_command
from rest_framework.test import APIClient
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer


def make(count):
    call_command("migrate", verbosity=0)
    for number in range(int(count)):
        get_user_model().objects.create(username=f"user-{number}", password="!")


def issue(count):
    users = list(get_user_model().objects.order_by("id"))
    made = [TokenObtainPairSerializer.get_token(users[number % len(users)]) for number in range(int(count))]
    print(json.dumps([str(token) for token in made]))


def post(path):
    client = APIClient()
    answers = [client.post(path, {"refresh": token}, format="json") for token in json.load(sys.stdin)]
    print(json.dumps([[answer.status_code, answer.json()] for answer in answers]))


def show():
    client = APIClient()
    answers = [client.get("/orders/", HTTP_AUTHORIZATION=f"Bearer {token}") for token in json.load(sys.stdin)]
    print(json.dumps([answer.status_code for answer in answers]))


commands = {
    "make": make,
    "issue": issue,
    "refresh": lambda: post("/api/token/refresh/"),
    "blacklist": lambda: post("/api/token/blacklist/"),
    "show": show,
}
commands[sys.argv[1]](*sys.argv[2:])
