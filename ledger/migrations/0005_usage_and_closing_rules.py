"""Put the rules of `ledger/sql/usage.sql` and `ledger/sql/closing.sql` into the database."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("ledger", "0004_closing_and_rollups_generated")]
    operations: ClassVar = [
        migrations.RunSQL((SQL / name).read_text(), migrations.RunSQL.noop) for name in ("usage.sql", "closing.sql")
    ]
