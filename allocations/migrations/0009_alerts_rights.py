"""Put the rights of `allocations/sql/alerts.sql` into the database."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "alerts.sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("allocations", "0008_alerts_generated")]
    operations: ClassVar = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
