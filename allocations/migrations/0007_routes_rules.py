"""Put the rule of `allocations/sql/key_models.sql` into the database."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "key_models.sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("allocations", "0006_routes_generated")]
    operations: ClassVar = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
