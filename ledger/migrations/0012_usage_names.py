"""Put the rules of `ledger/sql/usage_names.sql` into the database."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "usage_names.sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("ledger", "0011_routes_rules")]
    operations: ClassVar = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
