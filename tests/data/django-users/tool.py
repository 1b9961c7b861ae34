"""What a test asks of the site, in Django's own words.

tool.py make USERS      makes users; USERS is JSON: [{"name", "password", "hasher", …fields, "groups", "permissions"}]
tool.py show NAME...    prints users as Django reads them
tool.py check NAME PASSWORD
tool.py set NAME FIELD JSON
tool.py leave NAME GROUP
tool.py remove NAME
"""

import json
import sys

import django

django.setup()

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command


def find(name):
    model = get_user_model()
    return model.objects.get(**{model.USERNAME_FIELD: name})


def make(users):
    call_command("migrate", verbosity=0)
    model = get_user_model()
    for user in json.loads(users):
        name, groups, permissions = user.pop("name"), user.pop("groups", []), user.pop("permissions", [])
        password = make_password(user.pop("password"), hasher=user.pop("hasher", "default"))
        made = model.objects.create(**{model.USERNAME_FIELD: name}, password=password, **user)
        for group in groups:
            made.groups.add(Group.objects.get_or_create(name=group)[0])
        for permission in permissions:
            label, codename = permission.split(".")
            made.user_permissions.add(
                Permission.objects.get(content_type__app_label=label, codename=codename)
            )


def facts(user):
    login = user.last_login
    return {
        "id": str(user.pk),
        "password": user.password,
        "last_login": int(login.timestamp()) if login else None,
        "permissions": sorted(user.get_all_permissions()),
    }


def show(*names):
    print(json.dumps({name: facts(find(name)) for name in names}))


def check(name, password):
    print(json.dumps(find(name).check_password(password)))


def change(name, field, value):
    user = find(name)
    setattr(user, field, json.loads(value))
    user.save()


def leave(name, group):
    find(name).groups.remove(Group.objects.get(name=group))


def remove(name):
    find(name).delete()


commands = {"make": make, "show": show, "check": check, "set": change, "leave": leave, "remove": remove}
commands[sys.argv[1]](*sys.argv[2:])
