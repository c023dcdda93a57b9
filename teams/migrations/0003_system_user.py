"""Make the one actor that scheduled work and commands act as. Nobody can log in with it."""

from typing import ClassVar

from django.contrib.auth.hashers import make_password
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

SYSTEM_EMAIL = "system@tank.invalid"


def make_system_user(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make the system user unless it is there."""
    apps.get_model("teams", "User").objects.get_or_create(
        email=SYSTEM_EMAIL, defaults={"name": "Tank", "is_active": False, "password": make_password(None)}
    )


class Migration(migrations.Migration):
    dependencies: ClassVar = [("teams", "0002_append_only")]
    operations: ClassVar = [migrations.RunPython(make_system_user, migrations.RunPython.noop)]
