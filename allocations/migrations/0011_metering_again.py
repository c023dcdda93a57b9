"""Bring `allocations/sql/metering.sql` up to date where an earlier one was run, and let services set key limits."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("allocations", "0010_key_limits_generated")]
    operations: ClassVar = [
        migrations.RunSQL((SQL / name).read_text(), migrations.RunSQL.noop)
        for name in ("metering.sql", "key_limits.sql")
    ]
