"""Put the rules of `ledger/sql/file_runs.sql` into the database."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "file_runs.sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("ledger", "0017_file_runs_generated")]
    operations: ClassVar = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
