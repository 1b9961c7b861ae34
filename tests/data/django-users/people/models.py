"""A user model of the site's own: its key is a UUID, and one logs in by an address."""

import uuid

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models


class Member(AbstractBaseUser, PermissionsMixin):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    address = models.EmailField(unique=True)

    USERNAME_FIELD = "address"
    objects = BaseUserManager()

    class Meta:
        db_table = "Club_members"
