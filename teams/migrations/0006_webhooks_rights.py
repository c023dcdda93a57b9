"""Put the rights of `teams/sql/webhooks.sql` into the database."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "webhooks.sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("teams", "0005_webhooks_generated")]
    operations: ClassVar = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
