"""Put the rules of `ledger/sql/posting.sql` into the database."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "posting.sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("ledger", "0012_usage_names")]
    operations: ClassVar = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
