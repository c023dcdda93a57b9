"""Put the rules of `allocations/sql/metering.sql` into the database."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "metering.sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("allocations", "0001_initial"), ("ledger", "0003_journal_rules")]
    operations: ClassVar = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
