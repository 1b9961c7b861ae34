"""Acts on the users that a case asks for: for the test that started this site, and nobody else."""

import json

from django.contrib.auth import get_user_model
from django.http import JsonResponse
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

User = get_user_model()


def named(username):
    return User.objects.filter(username=username)


def set_password(username, password):
    user = named(username).get()
    user.set_password(password)
    user.save()
    return True


def delete(username):
    count = named(username).count()
    named(username).delete()
    return count


def last_login(username):
    time = named(username).get().last_login
    return time and time.timestamp()


def outstanding(jti):
    row = OutstandingToken.objects.filter(jti=jti).first()
    return row and {
        "user_id": row.user_id,
        "token": row.token,
        "blacklisted": BlacklistedToken.objects.filter(token=row).exists(),
        "expires_at": row.expires_at.timestamp(),
        "created_at": row.created_at.timestamp(),
    }


ACTS = {
    "deactivate": lambda username: named(username).update(is_active=False),
    "activate": lambda username: named(username).update(is_active=True),
    "setpw": set_password,
    "sethash": lambda username, encoded: named(username).update(password=encoded),
    "pwhash": lambda username: named(username).get().password,
    "adduser": lambda username, password: User.objects.create_user(username, password=password).pk,
    "deluser": delete,
    "clearlastlogin": lambda username: named(username).update(last_login=None),
    "lastlogin": last_login,
    "outstanding": outstanding,
}


def act(request):
    name, *arguments = json.loads(request.body)
    return JsonResponse(ACTS[name](*arguments), safe=False)
