"""Bring metering up to date where earlier files were run: their functions refer to columns that came since."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"
METERING = ("metering.sql", "settling.sql", "admitting.sql", "meter.sql", "workers.sql", "key_limits.sql")


class Migration(migrations.Migration):
    dependencies: ClassVar = [("allocations", "0011_metering_again")]
    operations: ClassVar = [migrations.RunSQL((SQL / name).read_text(), migrations.RunSQL.noop) for name in METERING]
