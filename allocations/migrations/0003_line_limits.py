"""Put the rule of `allocations/sql/limits.sql` into the database."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "limits.sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("allocations", "0002_metering"),
        ("ledger", "0005_usage_and_closing_rules"),
    ]
    operations: ClassVar = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
