"""Put the rules of `ledger/sql/reconciliation.sql` into the database."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "reconciliation.sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("ledger", "0014_reconciliation_generated")]
    operations: ClassVar = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
