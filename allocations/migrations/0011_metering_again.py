"""Let services set key limits; metering as it was then comes up to date with 0012."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "key_limits.sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("allocations", "0010_key_limits_generated")]
    operations: ClassVar = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
