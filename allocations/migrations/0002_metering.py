"""Put the rules of metering into the database: `allocations/sql/metering.sql` and the files that it names."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"
METERING = ("metering.sql", "settling.sql", "admitting.sql", "meter.sql", "workers.sql")


class Migration(migrations.Migration):
    dependencies: ClassVar = [("allocations", "0001_initial"), ("ledger", "0003_journal_rules")]
    operations: ClassVar = [migrations.RunSQL((SQL / name).read_text(), migrations.RunSQL.noop) for name in METERING]
